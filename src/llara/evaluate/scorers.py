"""Which scorers can be judged by name: to add one, write its class in a file and register it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from llara.data import IntArray, Split
from llara.errors import ConfigError
from llara.evaluate.metrics import FloatArray
from llara.model import Llara, ScorerName, score_candidates, score_catalog
from llara.model.weighing import is_silent
from llara.recommender import CatalogScorer, Popularity, Progress, RecommenderScorer, Scorer


class LlaraScorer:
    """LLaRA as a scorer, in one of its ways.

    Args:
        llara: Trained model; asked with hybrid prompts if it was trained on them.
        way: "answer" (exact log-likelihood), "listwise" or "sequence" (the heads).
        batch_size: Prompts per forward pass.
    """

    def __init__(self, llara: Llara, way: ScorerName, *, batch_size: int = 16) -> None:
        self.llara = llara
        self.way: ScorerName = way
        self.batch_size = batch_size

    @property
    def name(self) -> str:
        """By prompt kind and way."""
        return model_name(self.llara, self.way)

    def score(self, history: IntArray, candidates: IntArray, *, on_progress: Progress | None = None) -> FloatArray:
        """See `Scorer`; rows of one history read its beginning once."""
        return score_candidates(
            self.llara,
            [row[row != 0].tolist() for row in history],
            candidates.tolist(),
            scorer=self.way,
            hybrid=self.llara.uses_behavior,
            batch_size=self.batch_size,
            on_progress=on_progress,
        )

    def score_catalog(self, history: IntArray) -> FloatArray:
        """See `CatalogScorer`.

        Raises:
            ConfigError: Unless the way is `sequence`.
        """
        if self.way != "sequence":
            raise ConfigError(f"'{self.name}' ranks given candidates: a prompt cannot show a whole catalog.")
        histories = [row[row != 0].tolist() for row in history]
        return score_catalog(self.llara, histories, hybrid=self.llara.uses_behavior, batch_size=self.batch_size)


def scores_catalog(scorer: Scorer) -> TypeGuard[CatalogScorer]:
    """Whether a scorer can rank all items at once."""
    if isinstance(scorer, LlaraScorer):
        return scorer.way == "sequence"
    return callable(getattr(scorer, "score_catalog", None))


def model_name(llara: Llara, way: str) -> str:
    """How tables call a LLaRA: by prompt kind and way of scoring.

    Calibration may leave the head no weight at all: what is ranked then is the recommender's judgment, and says so.
    """
    kind = "hybrid LLaRA" if llara.uses_behavior else "text-only LLaRA"
    if is_only_the_recommender(llara, way):
        return f"{kind} ({way}; its weight is 0: this is {llara.recommender.name})"
    return f"{kind} ({way})"


def is_only_the_recommender(llara: Llara, way: str = "listwise") -> bool:
    """Whether the score of a head is the recommender's alone, because the head has no weight."""
    return llara.config.recommender_prior and llara.uses_behavior and is_silent(llara, way)


@dataclass(frozen=True)
class ScorerMaterial:
    """What scorers are made of.

    Attributes:
        llara: The run's model, with its catalog and its recommender.
        split: Its training part may be counted.
        batch_size: Prompts per forward pass.
    """

    llara: Llara
    split: Split
    batch_size: int


def popularity_scorer(material: ScorerMaterial) -> Scorer:
    """Items by their training interactions."""
    num_items = material.llara.catalog.num_items
    return RecommenderScorer(Popularity.from_sequences(material.split.train_sequences, num_items=num_items))


SCORERS: dict[str, Callable[[ScorerMaterial], Scorer]] = {
    "popularity": popularity_scorer,
    "recommender": lambda material: RecommenderScorer(material.llara.recommender),
    "answer": lambda material: LlaraScorer(material.llara, "answer", batch_size=material.batch_size),
    "listwise": lambda material: LlaraScorer(material.llara, "listwise", batch_size=material.batch_size),
    "sequence": lambda material: LlaraScorer(material.llara, "sequence", batch_size=material.batch_size),
}
"""How each scorer is made, by the name that `llara evaluate --scorer` takes."""


def register_scorer(name: str, make: Callable[[ScorerMaterial], Scorer]) -> None:
    """Let `llara evaluate RUN --scorer NAME` judge a scorer of your own.

    Raises:
        ConfigError: If the name is taken.
    """
    if name in SCORERS or name in ("auto", "all"):
        raise ConfigError(f"there is a scorer named '{name}' already. Give yours another name.")
    SCORERS[name] = make


def check_scores(scorer: Scorer, scores: FloatArray, candidates: IntArray) -> FloatArray:
    """The scores, refused with the scorer's name unless there is one per candidate.

    Raises:
        ConfigError: If the shapes differ.
    """
    if np.shape(scores) != candidates.shape:
        raise ConfigError(
            f"scorer '{scorer.name}': expected scores in the shape of the candidates {candidates.shape}, found "
            f"{np.shape(scores)}. Return one score for each candidate of each row."
        )
    return scores
