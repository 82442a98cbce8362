"""In which order a prompt shows its candidates: as given, or the most probable first."""

from collections.abc import Sequence

import numpy as np
import torch

from llara.data import IntArray
from llara.model.arguments import Items
from llara.model.catalog_scores import score_catalog
from llara.model.network import Network


def shown_columns(network: Network, histories: Items, candidates: Items, *, hybrid: bool) -> list[IntArray]:
    """The columns of each row's candidates in the order in which its prompt shows them.

    With `ranked_candidates` a hybrid prompt has them by the sequence head's score, or the recommender's in a model
    without one, best first; equal ones stay as they were. Text-only prompts have them as given.

    Args:
        network: Left in the mode, training or evaluation, in which it is.
        histories: Item indices without padding, oldest first, [N].
        candidates: Item indices of each row, [N].
        hybrid: Whether the prompts are hybrid.
    """
    if not (network.config.ranked_candidates and hybrid) or not histories:
        return [np.arange(len(items)) for items in candidates]
    scores = _of_catalog(network, histories)
    return [np.argsort(-scores[row][list(items)], kind="stable") for row, items in enumerate(candidates)]


def in_order(candidates: Items, columns: Sequence[IntArray]) -> list[list[int]]:
    """Each row's candidates in the order of its columns."""
    return [[items[column] for column in order] for items, order in zip(candidates, columns, strict=True)]


@torch.no_grad()
def _of_catalog(network: Network, histories: Items) -> list[np.ndarray]:
    """Scores of the whole catalog after each history, each history read once."""
    place: dict[tuple[int, ...], int] = {}
    for history in histories:
        place.setdefault(tuple(history), len(place))
    distinct = [list(history) for history in place]
    if network.sequence is None:
        device = network.device
        found = [network.recommender.score_all(torch.tensor([row], device=device))[0].cpu().numpy() for row in distinct]
    else:
        was_training = network.training
        found = list(score_catalog(network, distinct))
        network.train(was_training)
    return [found[place[tuple(history)]] for history in histories]
