"""In which order a prompt shows its candidates: as given, or the most probable first."""

from collections.abc import Sequence

import numpy as np
import torch

from llara.data import IntArray
from llara.model.arguments import Items
from llara.model.network import Network


@torch.no_grad()
def shown_columns(network: Network, histories: Items, candidates: Items, *, hybrid: bool) -> list[IntArray]:
    """The columns of each row's candidates in the order in which its prompt shows them.

    With `ranked_candidates` a hybrid prompt has them by the recommender's score, best first; equal ones stay as they
    were. Not by the sequence head's: training on answers changes the states that it reads. Text-only prompts have them
    as given.

    Args:
        network: Its recommender ranks.
        histories: Item indices without padding, oldest first, [N].
        candidates: Item indices of each row, [N].
        hybrid: Whether the prompts are hybrid.
    """
    if not (network.config.ranked_candidates and hybrid):
        return [np.arange(len(items)) for items in candidates]
    device = network.recommender.device
    columns = []
    for history, items in zip(histories, candidates, strict=True):
        asked = torch.tensor([list(history)], device=device), torch.tensor([list(items)], device=device)
        columns.append(np.argsort(-network.recommender.score(*asked)[0].float().cpu().numpy(), kind="stable"))
    return columns


def in_order(candidates: Items, columns: Sequence[IntArray]) -> list[list[int]]:
    """Each row's candidates in the order of its columns."""
    return [[items[column] for column in order] for items, order in zip(candidates, columns, strict=True)]
