"""A prior that a test decides."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from llara.data import Examples


class GivenPrior:
    """As `FoldRecommenders`, with the log-probabilities of a function.

    Args:
        log_probs: Of each candidate of each row, [B, C].
    """

    def __init__(self, log_probs: Callable[[Examples, np.ndarray], Tensor]) -> None:
        self._log_probs = log_probs

    def log_probs(self, examples: Examples, candidates: np.ndarray) -> Tensor:
        return self._log_probs(examples, candidates)

    def score_each(self, users: np.ndarray, history: Tensor, items: Tensor | None = None) -> Tensor:
        raise AssertionError("rows with candidates ask for log-probabilities")
