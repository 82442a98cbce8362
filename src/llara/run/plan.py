"""`llara plan`: memory and time of a run, from a few probe steps of every stage, before anything is spent."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from llara.run.choices import trained_scorer, uses_behavior
from llara.run.config import RunConfig
from llara.run.material import read_material
from llara.run.stages import (
    AdaptStage,
    CalibrateStage,
    EvaluateStage,
    FoldsStage,
    PracticeStage,
    RecommenderStage,
    StagePlan,
    TrainStage,
)
from llara.run.stages.memory import peak_bytes
from llara.run.stages.probing import Budget

_PROBE_SECONDS = 24.0
"""Of all probes: with loading the program and the data, a plan is there within a minute."""
_BEFORE, _TRAINING, _AFTER = (2.0, 3.0, 2.0), 5.0, (3.0,)
"""Shares of recommender, backbone and practice, of all stages of the training, of evaluation; what one leaves is for
those after it."""


@dataclass(frozen=True)
class Plan:
    """What a run is expected to take on this machine.

    Attributes:
        stages: In the order in which they run; without those that the run has not.
        peak_bytes: Largest memory of the probes; whole runs have taken 6 to 14 % more (docs/benchmarks.md).
        peak_gpu_bytes: Largest memory on the GPU; None without one.
        device: What it would compute on.
    """

    stages: tuple[StagePlan, ...]
    peak_bytes: int
    peak_gpu_bytes: int | None
    device: str

    @property
    def seconds(self) -> float:
        """Expected wall time of the whole run."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def uncertainty(self) -> float:
        """By which share `seconds` may well be off, if all stages are off in the same direction."""
        return sum(stage.seconds * stage.uncertainty for stage in self.stages) / max(self.seconds, 1e-9)

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            **asdict(self),
            "stages": [asdict(stage) for stage in self.stages],
            "seconds": self.seconds,
            "uncertainty": self.uncertainty,
        }


def plan_run(config: RunConfig) -> Plan:
    """Probe every stage of a run, in memory, and expect the rest of it to take as long.

    The model that is probed has not learned anything, which changes neither shapes nor speed. Nothing is written.

    Args:
        config: As for `train_run`.

    Raises:
        LlaraError: For whatever `train_run` would refuse before its work starts, leaks aside.
    """
    started = time.perf_counter() - time.process_time()  # the program itself has been loaded meanwhile
    material = read_material(config)
    plans = [StagePlan("start", "loading program and data", time.perf_counter() - started)]
    count = len(config.train.in_stages())
    budget = Budget(_PROBE_SECONDS, (*_BEFORE, *[_TRAINING / count] * count, *_AFTER))
    recommender = RecommenderStage(material).probe(budget.next())
    folds = FoldsStage(material, recommender.value, whole_fit=recommender.plan).probe(0.0)
    model = AdaptStage(material, recommender.value).probe(budget.next())
    practice = PracticeStage(material, model.value).probe(budget.next())
    model.value.uses_behavior = uses_behavior(config)
    model.value.default_scorer = trained_scorer(config)
    training = [TrainStage(material, model.value, None, number=place).probe(budget.next()) for place in range(count)]
    trained = tuple(probed.plan for probed in training if probed.plan is not None)
    calibration = CalibrateStage(material, model.value, training=trained).probe(0.0)
    evaluation = EvaluateStage(material, model.value, training=trained).probe(budget.next())
    found = [recommender, folds, model, practice, *training, calibration, evaluation]
    plans += [probed.plan for probed in found if probed.plan is not None and probed.plan.seconds > 0]
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Plan(tuple(plans), peak_bytes() + max(plan.more_bytes for plan in plans), gpu, device)
