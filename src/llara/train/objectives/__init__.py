"""Objectives: what a training example's loss is. One file per kind and one line in `registry.py`."""

from llara.train.objectives.answer import Answer, answer_losses
from llara.train.objectives.contract import Objective, PromptKind
from llara.train.objectives.listwise import Listwise, listwise_losses
from llara.train.objectives.registry import ObjectiveConfig, known_objectives, register_objective
from llara.train.objectives.sequence import SequenceObjective, sequence_losses
from llara.train.objectives.weighted import WeightedSum

__all__ = [
    "Answer",
    "Listwise",
    "Objective",
    "ObjectiveConfig",
    "PromptKind",
    "SequenceObjective",
    "WeightedSum",
    "answer_losses",
    "known_objectives",
    "listwise_losses",
    "register_objective",
    "sequence_losses",
]
