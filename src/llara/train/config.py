"""How the model is tuned, in one stage or in several that follow one another."""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from llara.data.limits import NonNegativeInt, PositiveInt, PositiveNumber, check_limits
from llara.errors import ConfigError
from llara.model import ScorerName
from llara.train.curriculum import CurriculumConfig
from llara.train.objectives import ObjectiveConfig
from llara.train.optimizer import OptimizerConfig
from llara.train.rows import WindowConfig


@dataclass(frozen=True, kw_only=True)
class TrainStageConfig:
    """One of several stages of the training; what it leaves out is that of `train`."""

    objective: ObjectiveConfig | None = None
    """As a whole: nothing of it is taken from train.objective."""
    epochs: PositiveNumber | None = None
    """Passes over the rows of this stage."""
    batch_size: PositiveInt | None = None
    """Examples, or windows, per optimizer step."""
    micro_batch_size: PositiveInt | None = None
    """Examples, or windows, per forward pass."""
    validations: PositiveInt | None = None
    """How often to validate, by the scorer that this stage trains; the best weights are the start of the next stage."""
    curriculum: CurriculumConfig | None = None
    """A key left out is that of train.curriculum. Without any, the first stage has train.curriculum and later ones are
    hybrid throughout (direct), for the projector is trained. Whether a run is text-only is said in train.curriculum."""
    optimizer: OptimizerConfig | None = None
    """A key left out is that of train.optimizer; each stage warms up and decays anew."""
    windows: WindowConfig | None = None
    """A key left out is that of train.windows."""

    def __post_init__(self) -> None:
        check_limits(self, "train.stages")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the model is tuned."""

    epochs: PositiveNumber = 5.0
    """Passes over the training rows; fractions are allowed."""
    batch_size: PositiveInt = 128
    """Examples per optimizer step; windows, each with a target per item, where the objective reads histories alone."""
    micro_batch_size: PositiveInt | None = None
    """Examples (or windows) per forward pass; gradients accumulate up to batch_size. null: as many as the longest one's
    memory and the memory that is free allow when training begins; a resumed run goes on with as many."""
    num_negatives: PositiveInt = 19
    """Negatives beside the target in a training prompt; drawn anew each epoch, a function of (seed, epoch, row)."""
    validations: PositiveInt = 5
    """How often to validate, evenly over the run; the best is kept."""
    patience: NonNegativeInt = 0
    """Stop after this many validations without improvement; 0 never stops early."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: NonNegativeInt = 0
    """Seed of the order of rows, of hybrid or text-only, of wordings, of negatives and of dropout."""
    stages: tuple[TrainStageConfig, ...] = ()
    """One after the other, each from the best weights of the one before, such as sequence and then listwise; none: one
    stage, as the other settings say. Every scorer that a stage trains is evaluated, with the weights of the last."""

    def __post_init__(self) -> None:
        check_limits(self, "train")
        for number, stage in enumerate(self.stages):
            curriculum = stage.curriculum
            if curriculum is not None and curriculum.kind == "text-only" and self.curriculum.kind != "text-only":
                raise ConfigError(
                    f"train.stages.{number}.curriculum.kind cannot be text-only where train.curriculum.kind is "
                    f"{self.curriculum.kind}: a run is text-only as a whole. Set the latter to text-only as well, or "
                    "let the stage be two-stage with first_stage_fraction 1.0."
                )

    def in_stages(self) -> tuple["TrainConfig", ...]:
        """The complete settings of each stage, without `stages`; itself where there are none."""
        if not self.stages:
            return (self,)
        return tuple(self._of_stage(number, stage) for number, stage in enumerate(self.stages))

    def _of_stage(self, number: int, stage: TrainStageConfig) -> "TrainConfig":
        given = {item.name: getattr(stage, item.name) for item in fields(stage)}
        chosen = {name: value for name, value in given.items() if value is not None}
        if self.curriculum.kind == "text-only":
            chosen["curriculum"] = self.curriculum
        elif number > 0:
            chosen.setdefault("curriculum", CurriculumConfig(kind="direct"))
        if number > 0:  # else the same rows would come in the same order, with the same negatives, once more
            chosen["seed"] = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return replace(self, stages=(), **chosen)

    @property
    def trains(self) -> tuple[ScorerName, ...]:
        """Scorers that some stage teaches: those of the last stage first, whose first one a run uses unless told."""
        found = [way for stage in reversed(self.in_stages()) for way in stage.objective.trains]
        return tuple(dict.fromkeys(found))
