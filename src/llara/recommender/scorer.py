"""The contract of whatever can score items for a history, and how a recommender meets it."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from llara.data.sequences import IntArray
from llara.recommender.base import Recommender

Scores = NDArray[np.float64]
Progress = Callable[[int], None]
"""Called with the number of rows just finished."""


class Scorer(Protocol):
    """Scores given candidates for histories: a counting model, a sequential recommender, LLaRA, a fusion of others."""

    @property
    def name(self) -> str:
        """How tables call it; unique among those that are judged together."""
        ...

    def score(self, history: IntArray, candidates: IntArray, *, on_progress: Progress | None = None) -> Scores:
        """Score the candidates of each row; a row's scores depend on no other row.

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L].
            candidates: Item indices, [B, C]. Rows may repeat a history, once for each draw of candidates.
            on_progress: Told how many rows were just finished.

        Returns:
            Scores [B, C], higher is better.
        """
        ...


class CatalogScorer(Scorer, Protocol):
    """A scorer for which the whole catalog is not too much."""

    def score_catalog(self, history: IntArray) -> Scores:
        """Score every item: [B, L] -> [B, num_items + 1]; column 0, padding, is -inf."""
        ...


class RecommenderScorer:
    """A conventional recommender, popularity included, as a scorer.

    Args:
        recommender: Fitted, over the catalog whose item indices are scored.
        name: As in tables; None: the recommender's own.
    """

    def __init__(self, recommender: Recommender, *, name: str | None = None) -> None:
        self.recommender = recommender
        self.name = name or recommender.name

    @torch.inference_mode()
    def score(self, history: IntArray, candidates: IntArray, *, on_progress: Progress | None = None) -> Scores:
        """See `Scorer`; all rows in one pass."""
        device = self.recommender.device
        found = self.recommender.score(
            torch.from_numpy(history).to(device), torch.from_numpy(np.ascontiguousarray(candidates)).to(device)
        )
        if on_progress is not None:
            on_progress(len(history))
        scores: Scores = found.double().cpu().numpy()
        return scores

    @torch.inference_mode()
    def score_catalog(self, history: IntArray) -> Scores:
        """See `CatalogScorer`."""
        found = self.recommender.score_all(torch.from_numpy(history).to(self.recommender.device))
        scores: Scores = found.double().cpu().numpy()
        return scores
