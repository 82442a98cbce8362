"""The stages of a run, a file each: what one does, what a plan expects of it, and how it resumes."""

from llara.run.stages.adapt import AdaptStage
from llara.run.stages.calibrate import CalibrateStage
from llara.run.stages.evaluate import EvaluateStage
from llara.run.stages.folds import FoldsStage
from llara.run.stages.practice import PracticeStage
from llara.run.stages.recommender import RecommenderStage
from llara.run.stages.stage import Place, Probed, Stage, StagePlan
from llara.run.stages.train import TrainStage

__all__ = [
    "AdaptStage",
    "CalibrateStage",
    "EvaluateStage",
    "FoldsStage",
    "Place",
    "PracticeStage",
    "Probed",
    "RecommenderStage",
    "Stage",
    "StagePlan",
    "TrainStage",
]
