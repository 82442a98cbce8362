"""`llara plan`: memory and time of a run, from a few probe steps of every stage, before anything is spent."""

import resource
import sys
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

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages], "seconds": self.seconds}


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
    plans: list[StagePlan | None] = [StagePlan("start", "loading program and data", time.perf_counter() - started)]
    recommender = RecommenderStage(material).probe(0)
    plans.append(recommender.plan)
    plans.append(FoldsStage(material, recommender.value, whole_fit=recommender.plan).probe(0).plan)
    model = AdaptStage(material, recommender.value).probe(0)
    plans.append(model.plan)
    plans.append(PracticeStage(material, model.value).probe(0).plan)
    model.value.uses_behavior = uses_behavior(config)
    model.value.default_scorer = trained_scorer(config)
    plans.append(TrainStage(material, model.value, None).probe(0).plan)
    plans.append(CalibrateStage(material, model.value).probe(0).plan)
    plans.append(EvaluateStage(material, model.value).probe(0).plan)
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Plan(tuple(plan for plan in plans if plan is not None and plan.seconds > 0), _peak_bytes(), gpu, device)


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
