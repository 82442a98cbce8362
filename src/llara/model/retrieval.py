"""Top of the catalog: the recommender and LLaRA's sequence head retrieve, LLaRA ranks what was retrieved."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llara.data import Catalog
from llara.errors import DataError
from llara.model.arguments import check_rows
from llara.model.catalog_scores import FloatArray, score_catalog
from llara.model.network import Network
from llara.model.scoring import score_candidates
from llara.model.settings import ScorerName
from llara.recommender import Recommender


@dataclass(frozen=True)
class Recommendation:
    """One entry of a ranking.

    Attributes:
        rank: 1 is best.
        item_id: The source's identifier.
        title: The item's title.
        score: LLaRA's score; compares within one ranking only.
        retrieval_rank: Where the recommender alone had put the item among all unseen ones, 1 is best.
    """

    rank: int
    item_id: int | str
    title: str
    score: float
    retrieval_rank: int


def retrieve(network: Network, history: Sequence[int], *, count: int, seen: Collection[int]) -> list[int]:
    """The recommender's best items, best first, without the seen ones.

    Args:
        network: Its recommender retrieves.
        history: Item indices, oldest first; at least one.
        count: How many at most.
        seen: Item indices to leave out.
    """
    return best_unseen(network.recommender, history, count=count, seen=seen)


@torch.inference_mode()
def best_unseen(recommender: Recommender, history: Sequence[int], *, count: int, seen: Collection[int]) -> list[int]:
    """As `retrieve`, by a recommender alone."""
    table = recommender.scoring_table()
    scores = recommender.score_all(torch.tensor([list(history)], device=table.device))[0]
    scores[list({0, *seen})] = float("-inf")
    count = min(count, int(torch.isfinite(scores).sum()))
    return [int(item) for item in scores.topk(count).indices]


def recommend(
    network: Network,
    history: Sequence[int],
    *,
    catalog: Catalog,
    scorer: ScorerName = "answer",
    hybrid: bool = True,
    k: int,
    num_retrieved: int = 50,
    history_length: int = 10,
    seen: Collection[int] = (),
) -> list[Recommendation]:
    """Rank the catalog for one history.

    Args:
        network: The model.
        history: Item indices, oldest first.
        catalog: The items.
        scorer: As in `score_candidates`. `sequence` ranks all unseen items itself. For the others a model that has a
            sequence head retrieves with it, in turn with the recommender.
        hybrid: As in `score_candidates`.
        k: Length of the list, >= 1; shorter only where the catalog has fewer unseen items.
        num_retrieved: Items that go into the prompt; raised to `k` if smaller.
        history_length: How many of the latest items the models read.
        seen: Further item indices to leave out, beside the history.

    Raises:
        DataError: If the history is empty or holds what is no item, `k`, `num_retrieved` or `history_length` is below
            1, or nothing is left to recommend.
    """
    if not history:
        raise DataError("the history is empty; give at least one item id, oldest first.")
    if k < 1:
        raise DataError(f"the list must hold at least 1 item, got k = {k}.")
    if history_length < 1:
        raise DataError(f"the models must read at least 1 item, got history_length = {history_length}.")
    if num_retrieved < 1:
        raise DataError(f"the recommender must propose at least 1 item, got num_retrieved = {num_retrieved}.")
    check_rows([history], [history], num_items=catalog.num_items)
    latest = list(history)[-history_length:]
    unseen = best_unseen(network.recommender, latest, count=catalog.num_items, seen={*history, *seen})
    if not unseen:
        raise DataError("every item of the catalog was seen already; nothing is left to recommend.")
    chosen, scores = _ranked(network, latest, unseen, scorer=scorer, hybrid=hybrid, count=max(k, num_retrieved))
    alone = {item: place for place, item in enumerate(unseen, start=1)}
    return [
        Recommendation(
            rank=place,
            item_id=catalog.item_ids[chosen[column]],
            title=catalog.titles[chosen[column]],
            score=float(scores[column]),
            retrieval_rank=alone[chosen[column]],
        )
        for place, column in enumerate(np.argsort(-scores, kind="stable")[:k], start=1)
    ]


def _ranked(
    network: Network, history: Sequence[int], unseen: list[int], *, scorer: ScorerName, hybrid: bool, count: int
) -> tuple[list[int], FloatArray]:
    """Items and their scores: all unseen ones by the sequence head, else what is retrieved for a prompt."""
    if network.sequence is None:
        retrieved = unseen[:count]
        return retrieved, score_candidates(network, [history], [retrieved], scorer=scorer, hybrid=hybrid, batch_size=1)[
            0
        ]
    of_catalog = score_catalog(network, [history], hybrid=hybrid)[0][unseen]
    if scorer == "sequence":
        return unseen, of_catalog
    own = [unseen[place] for place in np.argsort(-of_catalog, kind="stable")]
    retrieved = merged(unseen, own, count=count)
    return retrieved, score_candidates(network, [history], [retrieved], scorer=scorer, hybrid=hybrid, batch_size=1)[0]


def merged(first: Sequence[int], second: Sequence[int], *, count: int) -> list[int]:
    """The best of two rankings of the same items, taken in turn, none twice, at most `count`."""
    taken: dict[int, None] = {}
    for pair in zip(first, second, strict=True):
        taken.update(dict.fromkeys(pair))
        if len(taken) >= count:
            break
    return list(taken)[:count]
