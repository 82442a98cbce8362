"""Practice on rows made from the catalog's text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llara.model import Llara
from llara.run.choices import practised_objective
from llara.run.events import Listener, stage
from llara.run.material import Material
from llara.run.stages.probing import GUESSED, Repeats, expect
from llara.run.stages.stage import Place, Probed, StagePlan
from llara.train import Phase, StepRecord, practise

_PROBE_STEPS = 16
_TRIES = 3
"""A budget is worth a try of every phase if it holds this many steps of one row."""


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
                    self.llara,
                    config.practice,
                    objective=practised_objective(config),
                    seed=config.seed,
                    on_step=on_step,
                )
        return self.llara

    def probe(self, seconds: float) -> Probed[Llara]:
        """A few steps of each phase; smaller ones where the model is large."""
        practice = self.material.config.practice
        if not self.needed:
            return Probed(self.llara, None)
        phases = len(practice.phases)
        longest = max(practice.phases, key=_items_read)
        one, _ = self._mean_step(1, (longest,), steps=1, uncounted=0)
        if one > seconds / _TRIES:  # no time to try the others
            shorter = sum(phase.share * _items_read(phase) for phase in practice.phases) / _items_read(longest)
            shorter /= sum(phase.share for phase in practice.phases)
            return Probed(self.llara, self._plan(one * shorter * practice.batch_size, GUESSED))

        def once(rows: int) -> float:
            return self._mean_step(rows, practice.phases, steps=1, uncounted=0)[0]

        def steady(_: float) -> tuple[float, float]:
            steps = min(_PROBE_STEPS, max(3, practice.steps // phases))
            return self._mean_step(practice.batch_size, practice.phases, steps=steps, uncounted=1)

        # Each try makes a step of every phase, of which one on average is measured.
        found = expect(once, full=practice.batch_size, seconds=seconds / phases, steady=steady)
        return Probed(self.llara, self._plan(found.seconds, found.uncertainty))

    def _plan(self, step_seconds: float, uncertainty: float) -> StagePlan:
        practice = self.material.config.practice
        amount = f"{practice.steps} steps of {practice.batch_size} rows"
        return StagePlan(self.name, amount, step_seconds * practice.steps, is_limit=True, uncertainty=uncertainty)

    def _mean_step(self, rows: int, phases: tuple[Phase, ...], *, steps: int, uncounted: int) -> tuple[float, float]:
        """Seconds of a step of so many rows, over phases by their shares; and the spread as a share."""
        config = self.material.config
        repeats: list[Repeats] = []

        def on_step(record: StepRecord) -> None:
            if record.step == 0:
                repeats.append(Repeats(most=steps, uncounted=uncounted, seconds=0.0))
            repeats[-1].add(rows / record.examples_per_second)

        equal = tuple(replace(phase, share=1.0, enough=0.0) for phase in phases)
        few = replace(config.practice, steps=steps * len(phases), phases=equal, batch_size=rows)
        practise(self.llara, few, objective=practised_objective(config), seed=config.seed, on_step=on_step)
        if not repeats:
            return 0.0, 0.0  # the catalog is too small for any phase
        shares = [phase.share for phase in phases[: len(repeats)]]
        mean = sum(found.mean() * share for found, share in zip(repeats, shares, strict=True)) / sum(shares)
        return mean, max(found.spread() for found in repeats) if steps > 2 else 0.0


def _items_read(phase: Phase) -> int:
    """What the length of a phase's prompts goes by."""
    return phase.history + phase.candidates


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
