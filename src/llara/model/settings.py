"""Everything that shapes a model, in one typed config."""

from dataclasses import dataclass, field
from typing import Literal

from llara.data.limits import NonNegativeInt, PositiveInt, check_limits
from llara.model.backbone import BackboneConfig
from llara.prompt import PromptConfig

ScorerName = Literal["answer", "listwise", "sequence"]
"""answer: exact log-likelihood of the candidate's answer; listwise: the listwise head over the candidates shown;
sequence: the state after the history, compared with a vector of each item."""


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """Beyond the paper: the head that compares the state after a history with every item of the catalog."""

    head: bool = False
    """Whether the model has it; a run whose objective trains it has it in any case."""
    width: PositiveInt = 128
    """Width in which states and items are compared, >= 1."""
    texts: Literal["backbone", "encoder"] = "backbone"
    """Whose vectors of the items' texts the head starts from: the backbone's, read once before training, or those of
    recommender.text.encoder."""

    items: Literal["titles", "vectors"] = "titles"
    """How a history alone is read. titles: each item as prompt.history says; vectors: each as one token, the sum of its
    text's vector and, in hybrid prompts, of its recommender vector, both projected: about six times as many targets per
    second, and the language model reads what the texts' vectors say instead of the texts."""

    def __post_init__(self) -> None:
        check_limits(self, "sequence")


@dataclass(frozen=True, kw_only=True)
class LlaraConfig:
    """Backbone and prompt; `seed` initializes what is new."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    recommender_prior: bool = False
    """Beyond the paper: the listwise or sequence score of a hybrid prompt is the head's plus a learned weight times the
    recommender's log-probability of the item, so that the language model learns what the recommender misses."""
    ranked_candidates: bool = False
    """Beyond the paper: a hybrid prompt shows its candidates in the recommender's order, most probable first, so that
    answers start from its ranking; false: in the order given."""
    part_vectors: bool = False
    """Beyond the paper: a learned vector is added to every input embedding of a history item, another to those of the
    candidates, so that a small backbone tells the two apart from its first layer on."""
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    seed: NonNegativeInt = 0
    """Seed of what is new in the model: projector, head, nano backbone."""

    def __post_init__(self) -> None:
        check_limits(self, "")
