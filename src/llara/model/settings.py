"""Everything that shapes a model, in one typed config."""

from dataclasses import dataclass, field
from typing import Literal

from llara.data.limits import NonNegativeInt, check_limits
from llara.model.backbone import BackboneConfig
from llara.prompt import PromptConfig

ScorerName = Literal["answer", "listwise"]
"""answer: exact log-likelihood of the candidate's answer; listwise: the listwise head."""


@dataclass(frozen=True, kw_only=True)
class LlaraConfig:
    """Backbone and prompt; `seed` initializes what is new."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    recommender_prior: bool = False
    """Beyond the paper: the listwise score of a hybrid prompt is the head's plus a learned weight times the
    recommender's log-probability of the candidate, so that the language model learns what the recommender misses."""
    part_vectors: bool = False
    """Beyond the paper: a learned vector is added to every input embedding of a history item, another to those of the
    candidates, so that a small backbone tells the two apart from its first layer on."""
    seed: NonNegativeInt = 0
    """Seed of what is new in the model: projector, head, nano backbone."""

    def __post_init__(self) -> None:
        check_limits(self, "")
