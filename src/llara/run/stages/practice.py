"""Practice on rows made from the catalog's text."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llara.model import Llara
from llara.run.events import Listener, stage
from llara.run.material import Material
from llara.run.stages.probing import per_step
from llara.run.stages.stage import Place, Probed, StagePlan
from llara.train import StepRecord, practise

_PROBE_STEPS = 16


@dataclass(frozen=True)
class PracticeStage:
    """Trains the model on rows made from the catalog alone, in place.

    Leaves nothing of its own: the model before its training is kept as a whole in `start/`. Resumes from there; what
    was interrupted starts again.
    """

    material: Material
    llara: Llara
    name: str = "practice"

    @property
    def needed(self) -> bool:
        """Where there are steps."""
        return self.material.config.practice.steps > 0

    def run(self, place: Place) -> Llara:
        """The same model."""
        config = self.material.config
        if self.needed:
            with _step_events(place.listener, config.practice.steps) as on_step:
                practise(
                    self.llara, config.practice, objective=config.train.objective, seed=config.seed, on_step=on_step
                )
        return self.llara

    def probe(self, seconds: float) -> Probed[Llara]:
        """A few steps of each phase."""
        config = self.material.config
        steps, phases = config.practice.steps, config.practice.phases
        if not self.needed:
            return Probed(self.llara, None)
        moments: list[list[float]] = []

        def on_step(record: StepRecord) -> None:
            if record.step == 0:
                moments.append([])
            moments[-1].append(time.perf_counter())

        few = replace(config.practice, steps=min(steps, _PROBE_STEPS * len(phases)))
        practise(self.llara, few, objective=config.train.objective, seed=config.seed, on_step=on_step)
        total = sum(phase.share for phase in phases)
        expected = sum(
            per_step(found) * steps * phase.share / total for found, phase in zip(moments, phases, strict=False)
        )
        amount = f"{steps} steps of {config.practice.batch_size} rows"
        return Probed(self.llara, StagePlan(self.name, amount, expected, is_limit=True))


@contextmanager
def _step_events(listener: Listener, steps: int) -> Iterator[Callable[[StepRecord], None]]:
    with stage(listener, "practice on the catalog", steps) as advance:
        done, note = 0, ""

        def on_step(record: StepRecord) -> None:
            nonlocal done, note
            done, note = done + 1, f"loss {record.loss:.2f} {record.examples_per_second:.0f} ex/s"
            advance(1, note)

        yield on_step
        advance.outcome = note
        advance(steps - done, note)  # phases that were good enough before their end
