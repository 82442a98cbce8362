"""Loading the backbone and teaching it the catalog's text."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from llara.model import Llara, text_vectors
from llara.recommender import Recommender
from llara.run.events import Advance, stage
from llara.run.material import Material
from llara.run.stages.probing import Repeats
from llara.run.stages.speed import count_weights, product_speed
from llara.run.stages.stage import Place, Probed, StagePlan

_PROBE_STEPS, _LEAST_STEPS = 16, 2  # the first one is not counted
_PROBE_TEXTS = 128
_EFFICIENCY = 0.3
"""Share of the speed of a large matrix product that a step reaches, rather less than more."""


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
        sequence = self.material.config.llara.sequence
        foreign = sequence.head and sequence.texts == "encoder"
        texts = self.material.text_vectors(place.listener) if foreign else None
        with stage(place.listener, label, max(1, steps)) as advance:
            return self._build(steps, _notes(advance), texts=texts)

    def probe(self, seconds: float) -> Probed[Llara]:
        """Load it, and a few steps of reading the catalog; smaller ones where the model is large."""
        adapt = self.material.config.backbone.adapt
        steps, batch_size = self._probe_size(seconds)
        moments: list[float] = []
        started = time.perf_counter()
        llara = self._build(
            steps, lambda _, __: moments.append(time.perf_counter()), batch_size=batch_size, texts=self._no_texts()
        )
        loading = time.perf_counter() - started + _text_seconds(llara)
        repeats = Repeats(most=steps, uncounted=2 if steps > 4 else 1, seconds=seconds)
        for before, after in pairwise(moments):
            repeats.add(after - before)
        if steps < 2:
            return Probed(llara, StagePlan(self.name, "loading", loading, uncertainty=0.1))
        per_step = repeats.mean() * adapt.batch_size / batch_size
        expected = loading - (moments[-1] - moments[0]) + (adapt.steps - 1) * per_step
        spread = max(0.1 if batch_size == adapt.batch_size else 0.3, repeats.spread())
        amount = f"{adapt.steps} steps of reading the catalog"
        return Probed(llara, StagePlan(self.name, amount, expected, uncertainty=min(0.5, spread)))

    def _probe_size(self, seconds: float) -> tuple[int, int]:
        """Steps of a probe and blocks in each, guessed from the number of weights and the speed of a product."""
        adapt = self.material.config.backbone.adapt
        if adapt.steps < 2:
            return adapt.steps, adapt.batch_size
        weights = count_weights(self.material.config.backbone)
        per_block = 6 * weights * adapt.block_tokens / (_EFFICIENCY * product_speed())
        blocks = int(seconds / 2 / per_block)
        steps = min(_PROBE_STEPS, adapt.steps, blocks // adapt.batch_size)
        if steps >= _LEAST_STEPS or steps == adapt.steps:
            return steps, adapt.batch_size
        return min(_LEAST_STEPS, adapt.steps), max(1, min(adapt.batch_size, blocks // _LEAST_STEPS))

    def _no_texts(self) -> torch.Tensor:
        """In place of vectors that a plan need not wait for; they are as wide as they like."""
        return torch.zeros(self.material.dataset.catalog.num_items + 1, 1)

    def _build(
        self,
        steps: int,
        on_step: Callable[[int, float], None],
        *,
        batch_size: int | None = None,
        texts: torch.Tensor | None = None,
    ) -> Llara:
        config = self.material.config
        adapt = config.backbone.adapt
        adapt = replace(adapt, steps=steps, batch_size=batch_size or adapt.batch_size)
        backbone = replace(config.backbone, adapt=adapt)
        llara = Llara.from_backbone(
            backbone,
            self.recommender,
            self.material.dataset.catalog,
            config=config.llara,
            on_adapt_step=on_step,
            texts=texts,
        )
        return llara


def _text_seconds(llara: Llara) -> float:
    """What reading the items' texts for a sequence head takes, from some of them."""
    if llara.sequence is None:
        return 0.0
    num_items = llara.catalog.num_items
    some = range(1, num_items + 1, -(-num_items // _PROBE_TEXTS))
    started = time.perf_counter()
    text_vectors(llara.model, llara.encoder, precision=llara.config.backbone.precision, items=some)
    return (time.perf_counter() - started) * num_items / len(some)


def _notes(advance: Advance) -> Callable[[int, float], None]:
    def on_step(_: int, loss: float) -> None:
        advance.outcome = f"{loss:.2f} nats per token"
        advance(1, advance.outcome)

    return on_step
