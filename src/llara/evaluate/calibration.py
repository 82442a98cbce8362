"""How much to trust the recommender: the weights of head and prior, fitted on rows that neither was trained on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from llara.data import IntArray
from llara.evaluate.judging import score_draws
from llara.evaluate.metrics import FloatArray, hit_ratio, target_ranks
from llara.evaluate.scorers import LlaraScorer
from llara.evaluate.task import RankingTask
from llara.model import Llara, ScorerName
from llara.model.weighing import by_itself, weigh
from llara.recommender import RecommenderScorer

_NOTHING = 1e-6
"""A fitted weight below this is the bound of the search, 0, reached but for rounding."""
_SHOWN = 0.005
"""A weight below this is shown as 0.00."""


@dataclass(frozen=True)
class PriorWeights:
    """Score of a head = head * head score + prior * recommender's log-probability.

    Attributes:
        head: Weight of the head, listwise or sequence, >= 0.
        prior: Weight of the recommender's log-probability, >= 0.
        loss_before: Mean negative log-likelihood of the targets with weights 1 and what training learned, in nats.
        loss_after: The same with the fitted weights.
    """

    head: float
    prior: float
    loss_before: float
    loss_after: float

    def in_words(self, recommender: str) -> str:
        """What the weights mean for who reads hybrid LLaRA's scores, in a sentence or two.

        Args:
            recommender: As the tables call it.
        """
        head, prior = self.head >= _SHOWN, self.prior >= _SHOWN
        if not head and not prior:
            return (
                f"On the validation rows neither the language model nor {recommender} was of any help: both got weight "
                "0, all scores are equal, and the ranking says nothing."
            )
        if not head:
            return (
                f"On the validation rows the language model added nothing to {recommender}: its weight came out as "
                f"{self.head:.2f}. This hybrid LLaRA is {recommender} alone, and no text changes its ranking."
            )
        if not prior:
            return (
                f"On the validation rows {recommender} added nothing to the language model: its weight came out as "
                f"{self.prior:.2f}. This hybrid LLaRA is the language model alone, which still reads {recommender}'s "
                "vectors in its prompt."
            )
        return (
            f"The score is {self.head:.2f} × the language model's score + {self.prior:.2f} × {recommender}'s "
            "log-probability, with the weights under which the validation rows are most likely. The two are on scales "
            "of their own: the larger weight does not mean the larger say."
        )

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "PriorWeights":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def fit_prior_weights(head: FloatArray, prior: FloatArray, target_column: IntArray, *, learned: float) -> PriorWeights:
    """The two weights under which the targets are most likely: a convex problem in two unknowns.

    Args:
        head: Score of the head, [N, C].
        prior: The recommender's log-probability of each candidate, [N, C].
        target_column: Column of the target, [N].
        learned: The prior's weight after training; where the search starts.
    """
    rows = np.arange(len(target_column))

    def loss(weights: FloatArray) -> float:
        scores = weights[0] * head + weights[1] * prior
        return float(-log_softmax(scores, axis=1)[rows, target_column].mean())

    start = np.array([1.0, learned])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, None), (0.0, None)])
    head_weight, prior_weight = (0.0 if weight < _NOTHING else float(weight) for weight in found.x)
    return PriorWeights(head_weight, prior_weight, loss(start), float(found.fun))


def calibrate_prior(llara: Llara, task: RankingTask, *, batch_size: int, way: ScorerName = "listwise") -> PriorWeights:
    """Set the weights of head and prior by validation rows, in place.

    Training sees the recommender on rows that the recommender was fitted on, where it is surer than it should be; on
    held-out rows the balance is another. Rows of `task` must be held out from both.

    Args:
        llara: Trained with `recommender_prior`, asked with hybrid prompts.
        task: Validation rows; all draws are used.
        batch_size: Prompts per forward pass.
        way: Whose head: `listwise` or `sequence`.
    """
    learned = float(llara.prior_weight_of(way).detach())
    head, prior = _parts(llara, task, batch_size=batch_size, way=way)
    weights = fit_prior_weights(head, prior, task.target_columns.ravel(), learned=learned)
    weigh(llara, way, head=weights.head, prior=weights.prior)
    return weights


def calibrated_hit_ratio(llara: Llara, task: RankingTask, *, batch_size: int, way: ScorerName = "listwise") -> float:
    """HR@1 that these rows would have after `calibrate_prior` on them; the model stays as it is.

    Steps are compared by what a run ends with: a head that is trusted too much or too little hides how good it is.
    """
    head, prior = _parts(llara, task, batch_size=batch_size, way=way)
    columns = task.target_columns.ravel()
    weights = fit_prior_weights(head, prior, columns, learned=float(llara.prior_weight_of(way).detach()))
    return hit_ratio(target_ranks(weights.head * head + weights.prior * prior, columns), 1)


@torch.no_grad()
def _parts(llara: Llara, task: RankingTask, *, batch_size: int, way: ScorerName) -> tuple[FloatArray, FloatArray]:
    """Scores of the head alone, and the recommender's log-probabilities, of all draws one after another, [M, C]."""
    with by_itself(llara, way):
        head = score_draws(LlaraScorer(llara, way, batch_size=batch_size), task)
    prior = torch.from_numpy(score_draws(RecommenderScorer(llara.recommender), task)).log_softmax(dim=-1).numpy()
    return head.reshape(-1, head.shape[2]), prior.reshape(-1, prior.shape[2])
