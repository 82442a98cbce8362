"""Curriculum, objectives, optimizer and the training loop."""

from llara.train.config import TrainConfig, TrainStageConfig
from llara.train.curriculum import CurriculumConfig, draw_hybrid, hybrid_probability
from llara.train.loop import StepRecord, Trainer
from llara.train.objectives import (
    Objective,
    ObjectiveConfig,
    PromptKind,
    answer_losses,
    listwise_losses,
    register_objective,
    sequence_losses,
)
from llara.train.optimizer import OptimizerConfig, learning_rate
from llara.train.practice import Phase, PracticeConfig, practise
from llara.train.rows import TrainingPrior, WindowConfig
from llara.train.stages import StagePlace, TrainReport
from llara.train.tracking import METRICS_FILE, Record, read_metrics

__all__ = [
    "METRICS_FILE",
    "CurriculumConfig",
    "Objective",
    "ObjectiveConfig",
    "OptimizerConfig",
    "Phase",
    "PracticeConfig",
    "PromptKind",
    "Record",
    "StagePlace",
    "StepRecord",
    "TrainConfig",
    "TrainReport",
    "TrainStageConfig",
    "Trainer",
    "TrainingPrior",
    "WindowConfig",
    "answer_losses",
    "draw_hybrid",
    "hybrid_probability",
    "learning_rate",
    "listwise_losses",
    "practise",
    "read_metrics",
    "register_objective",
    "sequence_losses",
]
