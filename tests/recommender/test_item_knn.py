"""ItemKNN against counting common users by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import Sequences
from llara.recommender import ItemKNN, ItemKNNConfig

NUM_ITEMS = 7


def counted(log: list[list[int]], config: ItemKNNConfig) -> ItemKNN:
    knn = ItemKNN(NUM_ITEMS, config)
    knn.count(Sequences.from_lists(log))
    return knn


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=6), min_size=1, max_size=8),
    st.sampled_from([0.0, 3.0]),
)
def test_similarity_is_the_shrunk_cosine_of_user_sets(log: list[list[int]], shrinkage: float) -> None:
    users = {item: {row for row, items in enumerate(log) if item in items} for item in range(1, NUM_ITEMS + 1)}

    def similarity(one: int, two: int) -> float:
        common = len(users[one] & users[two])
        if one == two or common == 0:
            return 0.0
        cosine = common / float(np.sqrt(len(users[one]) * len(users[two])))
        return cosine * common / (common + shrinkage)

    found = counted(log, ItemKNNConfig(shrinkage=shrinkage, decay=0.5)).score_all(torch.tensor([[3, 5, 0]]))[0]
    expected = [similarity(3, item) / 3 + similarity(5, item) * 2 / 3 for item in range(1, NUM_ITEMS + 1)]
    np.testing.assert_allclose(found[1:].numpy(), expected, rtol=1e-5, atol=1e-7)
    assert found[0] == float("-inf")


def test_only_the_nearest_neighbors_of_a_history_item_count() -> None:
    log = [[1, 2], [1, 2], [1, 2, 3], [1, 3, 4], [5, 6]]
    scores = counted(log, ItemKNNConfig(neighbors=1, shrinkage=0.0)).score_all(torch.tensor([[1]]))[0, 1:]
    assert scores.nonzero().flatten().tolist() == [1]  # item 2 alone
    assert scores[1] == pytest.approx(3 / np.sqrt(4 * 3))


def test_an_empty_history_says_nothing() -> None:
    knn = counted([[1, 2], [2, 3]], ItemKNNConfig())
    assert knn.score_all(torch.zeros(1, 3, dtype=torch.long))[0, 1:].abs().sum() == 0


def test_rows_with_the_same_history_are_scored_once_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    knn = counted([[1, 2, 3], [2, 3, 4], [5, 6]], ItemKNNConfig(shrinkage=0.0))
    history = torch.tensor([[1, 2], [3, 0], [1, 2], [5, 0], [3, 0]])
    candidates = torch.tensor([[3, 4], [2, 4], [4, 5], [6, 1], [0, 2]])
    expected = knn.score_all(history).gather(1, candidates)
    scored: list[int] = []
    whole = knn.score_all

    def counting(rows: torch.Tensor) -> torch.Tensor:
        scored.append(len(rows))
        return whole(rows)

    monkeypatch.setattr(knn, "score_all", counting)
    assert torch.equal(knn.score(history, candidates), expected)
    assert scored == [3]
    monkeypatch.setattr("llara.recommender.pairs._ENTRIES_AT_ONCE", 2 * (NUM_ITEMS + 1))  # two histories at once
    assert torch.equal(knn.score(history, candidates), expected)
    assert scored == [3, 2, 1]
