"""Stages of training that follow one another: where each one's checkpoints and records are, and what all came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llara.train.state import LAST, find_state
from llara.train.tracking import Record


@dataclass(frozen=True)
class StagePlace:
    """Which of the stages of a training one is.

    Attributes:
        number: From 1.
        count: Of all stages.
        first_step: Steps that the stages before it have taken; its records are counted on from there.
    """

    number: int = 1
    count: int = 1
    first_step: int = 0

    def checkpoints(self, folder: Path) -> Path:
        """Where its checkpoints are in a run's folder: one stage alone has `checkpoints/` for itself."""
        return _checkpoints(folder, self.number, self.count)

    def has_checkpoint(self, folder: Path) -> bool:
        """Whether there is one to resume from; it may have been stopped before its first."""
        return find_state(self.checkpoints(folder) / LAST) is not None

    def is_over(self, folder: Path) -> bool:
        """Whether a later stage has begun, and has left a checkpoint."""
        later = range(self.number + 1, self.count + 1)
        return any(find_state(_checkpoints(folder, number, self.count) / LAST) is not None for number in later)

    def record(self, metrics: Record) -> Record:
        """A record of its own steps as it stands in metrics.jsonl: steps of all stages, and which stage it was."""
        if self.count == 1:
            return metrics
        return {**metrics, "step": self.first_step + int(metrics["step"]), "stage": self.number}

    def __str__(self) -> str:
        return f"stage {self.number} of {self.count}"


ALONE = StagePlace()
"""Of a training in one stage."""


def _checkpoints(folder: Path, number: int, count: int) -> Path:
    return folder / "checkpoints" if count == 1 else folder / "checkpoints" / f"stage-{number}"


@dataclass(frozen=True)
class TrainReport:
    """Outcome of a training run; the model holds the best validated weights.

    Attributes:
        steps: Optimizer steps, of all stages.
        best_step: Step, counted over all stages, after which the weights were those that the model holds.
        best_validation: HR@1 on the validation rows with them, in [0, 1].
        seconds: Wall time.
        stopped_early: Whether patience, or something else, ended it, or one of its stages, before its last step.
        objective: Name of what was minimized.
        stages: Of each stage, its own steps counted from its own start; empty where there is one.
    """

    steps: int
    best_step: int
    best_validation: float
    seconds: float
    stopped_early: bool
    objective: str
    stages: tuple["TrainReport", ...] = ()

    @classmethod
    def of_stages(cls, reports: Sequence["TrainReport"]) -> "TrainReport":
        """What several stages came to together: the model holds the best weights of the last."""
        *before, last = reports
        if not before:
            return last
        return cls(
            steps=sum(report.steps for report in reports),
            best_step=sum(report.steps for report in before) + last.best_step,
            best_validation=last.best_validation,
            seconds=sum(report.seconds for report in reports),
            stopped_early=any(report.stopped_early for report in reports),
            objective=", ".join(report.objective for report in reports),
            stages=tuple(reports),
        )

    def as_json(self) -> dict[str, Any]:
        """What a manifest says of a stage."""
        return {
            "objective": self.objective,
            "steps": self.steps,
            "best_step": self.best_step,
            "best_validation_hit_ratio": self.best_validation,
        }
