"""How much to trust the recommender: the weights of head and prior, fitted on rows that neither was trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from llara.data import IntArray
from llara.evaluate.metrics import FloatArray
from llara.evaluate.task import RankingTask
from llara.model import Llara, score_candidates


@dataclass(frozen=True)
class PriorWeights:
    """Listwise score = head * head score + prior * recommender's log-probability.

    Attributes:
        head: Weight of the listwise head, >= 0.
        prior: Weight of the recommender's log-probability, >= 0.
        loss_before: Mean negative log-likelihood of the targets with weights 1 and what training learned, in nats.
        loss_after: The same with the fitted weights.
    """

    head: float
    prior: float
    loss_before: float
    loss_after: float


def fit_prior_weights(head: FloatArray, prior: FloatArray, target_column: IntArray, *, learned: float) -> PriorWeights:
    """The two weights under which the targets are most likely: a convex problem in two unknowns.

    Args:
        head: Score of the listwise head, [N, C].
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
    return PriorWeights(float(found.x[0]), float(found.x[1]), loss(start), float(found.fun))


def calibrate_prior(llara: Llara, task: RankingTask, *, batch_size: int) -> PriorWeights:
    """Set the weights of head and prior by validation rows, in place.

    Training sees the recommender on rows that the recommender was fitted on, where it is surer than it should be; on
    held-out rows the balance is another. Rows of `task` must be held out from both.

    Args:
        llara: Trained with `recommender_prior`, asked with hybrid prompts.
        task: Validation rows; all draws are used.
        batch_size: Prompts per forward pass.
    """
    learned = float(llara.prior_weight.detach())
    histories = task.examples.histories()
    heads, priors = [], []
    with torch.no_grad():
        llara.prior_weight.zero_()
    for draw in task.draws:
        items = draw.items.tolist()
        heads.append(score_candidates(llara, histories, items, scorer="listwise", batch_size=batch_size))
        with torch.inference_mode():
            device = llara.device
            scores = llara.recommender.score(
                torch.from_numpy(task.examples.history).to(device), torch.from_numpy(draw.items).to(device)
            )
        priors.append(scores.double().log_softmax(dim=-1).cpu().numpy())
    weights = fit_prior_weights(
        np.concatenate(heads), np.concatenate(priors), task.target_columns.ravel(), learned=learned
    )
    with torch.no_grad():
        llara.head.weight.mul_(weights.head)
        llara.prior_weight.fill_(weights.prior)
    return weights
