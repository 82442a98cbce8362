"""What the settings of a run imply for its model."""

from llara.model import ScorerName
from llara.run.config import RunConfig
from llara.train import ObjectiveConfig, TrainConfig

HEADS: tuple[ScorerName, ...] = ("listwise", "sequence")
"""Scorers that are heads of their own, which only their own objective trains."""


def uses_behavior(config: RunConfig) -> bool:
    """Whether the model is asked with hybrid prompts: unless it was trained on text-only ones."""
    return config.train.curriculum.kind != "text-only"


def trained_scorer(config: RunConfig) -> ScorerName:
    """The scorer to use: as asked, else the first of the last objective."""
    if config.evaluate.scorer != "auto":
        return config.evaluate.scorer
    return config.train.trains[0]


def validating_scorer(config: RunConfig, stage: TrainConfig) -> ScorerName:
    """The scorer whose HR@1 tells which weights of a stage are best: the run's own where the stage trains it.

    Of a training in one stage it is the run's own in any case.
    """
    chosen, taught = trained_scorer(config), stage.objective.trains
    return chosen if chosen in taught or len(config.train.in_stages()) == 1 else taught[0]


def practised_objective(config: RunConfig) -> ObjectiveConfig:
    """What practice prepares for: the first objective whose prompts have candidates, as those of practice have."""
    return next(stage.objective for stage in config.train.in_stages() if stage.objective.prompts == "candidates")


def uses_prior(config: RunConfig) -> bool:
    """Whether the recommender's judgment is part of the scores of a trained head, whose weights are calibrated."""
    return bool(ways_with_prior(config))


def ways_with_prior(config: RunConfig) -> list[ScorerName]:
    """The trained scorers under which the recommender's judgment stands."""
    if not (config.recommender_prior and uses_behavior(config)):
        return []
    return [way for way in config.train.trains if way in HEADS]


def uses_of_backbone(config: RunConfig) -> list[str]:
    """How a run asks its backbone: every scorer that it trains or was told to use, and free generation."""
    trained = config.train.trains
    generates = config.evaluate.generation_draws > 0 and "answer" in trained
    return [trained_scorer(config), *trained, *(["generation"] if generates else [])]
