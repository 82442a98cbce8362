"""Loading the backbone and teaching it the catalog's text."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from llara.model import Llara
from llara.recommender import Recommender
from llara.run.events import Advance, stage
from llara.run.material import Material
from llara.run.stages.probing import per_step
from llara.run.stages.stage import Place, Probed, StagePlan

_PROBE_STEPS = 16


@dataclass(frozen=True)
class AdaptStage:
    """Builds the model around a backbone, which reads the catalog first if `backbone.adapt` says so.

    Leaves nothing of its own: the model before its training is kept as a whole in `start/`. Resumes from there; what
    was interrupted starts again.
    """

    material: Material
    recommender: Recommender
    name: str = "backbone"
    needed: bool = True

    def run(self, place: Place) -> Llara:
        """The model, before practice and training."""
        steps = self.material.config.backbone.adapt.steps
        label = "reading the catalog" if steps else "loading the language model"
        with stage(place.listener, label, max(1, steps)) as advance:
            return self._build(steps, _notes(advance))

    def probe(self, seconds: float) -> Probed[Llara]:
        """Load it, and a few steps of reading the catalog."""
        steps = self.material.config.backbone.adapt.steps
        moments: list[float] = []
        started = time.perf_counter()
        llara = self._build(min(steps, _PROBE_STEPS), lambda _, __: moments.append(time.perf_counter()))
        expected = time.perf_counter() - started + per_step(moments) * max(0, steps - len(moments))
        return Probed(
            llara, StagePlan(self.name, f"{steps} steps of reading the catalog" if steps else "loading", expected)
        )

    def _build(self, steps: int, on_step: Callable[[int, float], None]) -> Llara:
        config = self.material.config
        backbone = replace(config.backbone, adapt=replace(config.backbone.adapt, steps=steps))
        llara = Llara.from_backbone(
            backbone, self.recommender, self.material.dataset.catalog, config=config.llara, on_adapt_step=on_step
        )
        return llara


def _notes(advance: Advance) -> Callable[[int, float], None]:
    def on_step(_: int, loss: float) -> None:
        advance.outcome = f"{loss:.2f} nats per token"
        advance(1, advance.outcome)

    return on_step
