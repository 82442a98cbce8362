"""What the settings of a run imply for its model."""

from llara.model import ScorerName
from llara.run.config import RunConfig


def uses_behavior(config: RunConfig) -> bool:
    """Whether the model is asked with hybrid prompts: unless it was trained on text-only ones."""
    return config.train.curriculum.kind != "text-only"


def trained_scorer(config: RunConfig) -> ScorerName:
    """The scorer to use: as asked, else the objective's first."""
    if config.evaluate.scorer != "auto":
        return config.evaluate.scorer
    return config.train.objective.trains[0]


def uses_prior(config: RunConfig) -> bool:
    """Whether the recommender's log-probabilities are part of the listwise scores, whose weights are calibrated."""
    return config.recommender_prior and uses_behavior(config) and "listwise" in config.train.objective.trains


def uses_of_backbone(config: RunConfig) -> list[str]:
    """How a run asks its backbone: every scorer that it trains or was told to use, and free generation."""
    trained = config.train.objective.trains
    generates = config.evaluate.generation_draws > 0 and "answer" in trained
    return [trained_scorer(config), *trained, *(["generation"] if generates else [])]
