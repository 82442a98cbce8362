"""Recommendations: retrieved by the recommender, ranked by LLaRA, nothing seen."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llara.errors import DataError
from llara.model import Llara, SequenceConfig, recommend, retrieve, score_candidates, score_catalog
from llara.model.retrieval import merged

Build = Callable[..., Llara]


@pytest.fixture(scope="module")
def llara(build: Build) -> Llara:
    return build().eval()


def test_retrieval_is_the_recommenders_order_without_seen_items(llara: Llara) -> None:
    history = [3, 8, 20]
    with torch.inference_mode():
        scores = llara.recommender.score_all(torch.tensor([history]))[0]
    order = [int(item) for item in scores.argsort(descending=True) if int(item) not in {0, *history, 5}]
    assert retrieve(llara, history, count=6, seen={*history, 5}) == order[:6]
    assert retrieve(llara, history, count=999, seen={*history, 5}) == order


def test_retrieval_is_the_same_while_the_model_trains(build: Build) -> None:
    llara = build()
    expected = retrieve(llara.eval(), [3, 8], count=20, seen=())
    assert all(retrieve(llara.train(), [3, 8], count=20, seen=()) == expected for _ in range(5))


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_a_ranking_is_ordered_numbered_and_unseen(scorer: str, build: Build) -> None:
    llara = build()
    llara.default_scorer = scorer  # type: ignore[assignment]
    found = llara.recommend([103, "108", 120], k=5, num_retrieved=8)
    assert [entry.rank for entry in found] == [1, 2, 3, 4, 5]
    scores = [entry.score for entry in found]
    assert scores == sorted(scores, reverse=True)
    ids = [entry.item_id for entry in found]
    assert len(set(ids)) == 5
    assert not {103, 108, 120} & set(ids)
    retrieved = retrieve(llara, [3, 8, 20], count=8, seen=[3, 8, 20])
    expected = score_candidates(llara, [[3, 8, 20]], [retrieved], scorer=scorer)[0]  # type: ignore[arg-type]
    for entry in found:
        index = llara.catalog.index_of(entry.item_id)
        assert retrieved[entry.retrieval_rank - 1] == index
        assert entry.title == llara.catalog.titles[index]
        assert entry.score == pytest.approx(expected[entry.retrieval_rank - 1], abs=1e-5)
    assert scores[0] == pytest.approx(expected.max(), abs=1e-5)


def test_a_list_longer_than_the_catalog_holds_every_unseen_item_once(llara: Llara) -> None:
    found = llara.recommend([101, 102], k=100)
    assert [entry.rank for entry in found] == list(range(1, 23))
    assert {entry.item_id for entry in found} == set(range(103, 125))


def test_k_raises_the_number_retrieved(llara: Llara) -> None:
    assert len(llara.recommend([101], k=12, num_retrieved=3)) == 12


def test_further_seen_items_are_left_out_too(llara: Llara) -> None:
    found = recommend(llara, [1], catalog=llara.catalog, k=24, seen=range(2, 20))
    assert {llara.catalog.index_of(entry.item_id) for entry in found} == set(range(20, 25))


def test_items_beyond_the_history_length_are_left_out_but_not_read(llara: Llara) -> None:
    long = llara.recommend([101, 102, 103, 104, 105], k=50, history_length=2)
    short = recommend(llara, [4, 5], catalog=llara.catalog, k=50, seen=[1, 2, 3])
    assert [entry.item_id for entry in long] == [entry.item_id for entry in short]
    np.testing.assert_allclose([entry.score for entry in long], [entry.score for entry in short], atol=1e-6)


@pytest.mark.parametrize(
    ("history", "settings", "message"),
    [
        ([], {}, "the history is empty; give at least one item id"),
        ([999], {}, "999"),
        (["Alien"], {}, "Alien"),
        ([101], {"k": 0}, "at least 1 item, got k = 0"),
        ([101], {"history_length": 0}, "got history_length = 0"),
        ([101], {"num_retrieved": 0}, "got num_retrieved = 0"),
        ("101,102", {}, "expected a list of item ids, got the text '101,102'"),
        (list(range(101, 125)), {}, "every item of the catalog was seen already"),
    ],
)
def test_requests_that_cannot_be_answered_are_refused(
    history: list[int | str], settings: dict[str, int], message: str, llara: Llara
) -> None:
    with pytest.raises(DataError, match=message):
        llara.recommend(history, **settings)


def test_scores_are_asked_by_item_id(llara: Llara) -> None:
    by_id = llara.score([[103, "108"]], [[101, "102"]])
    np.testing.assert_allclose(by_id, score_candidates(llara, [[3, 8]], [[1, 2]]), atol=1e-6)
    with pytest.raises(DataError, match="999"):
        llara.score([[103]], [[999]])


HEAD = SequenceConfig(head=True, width=16)


def test_the_sequence_head_ranks_the_whole_catalog(build: Build) -> None:
    llara = build(sequence=HEAD).eval()
    llara.default_scorer = "sequence"
    found = llara.recommend([103, 108], k=22)
    scores = score_catalog(llara, [[3, 8]])[0]
    scores[[0, 3, 8]] = -np.inf
    order = np.argsort(-scores, kind="stable")[:22]
    assert [llara.catalog.index_of(entry.item_id) for entry in found] == order.tolist()
    alone = retrieve(llara, [3, 8], count=22, seen={3, 8})
    assert [alone.index(item) + 1 for item in order] == [entry.retrieval_rank for entry in found]


def test_prompts_hold_what_recommender_and_sequence_head_retrieve(build: Build) -> None:
    llara = build(sequence=HEAD).eval()
    llara.default_scorer = "listwise"
    found = llara.recommend([103, 108], k=6, num_retrieved=6)
    alone = retrieve(llara, [3, 8], count=22, seen={3, 8})
    scores = score_catalog(llara, [[3, 8]])[0]
    own = sorted(alone, key=lambda item: -scores[item])
    assert {llara.catalog.index_of(entry.item_id) for entry in found} == set(merged(alone, own, count=6))
    assert {alone[0], own[0], own[1]} <= set(merged(alone, own, count=6))


@given(st.permutations(list(range(8))), st.permutations(list(range(8))), st.integers(1, 12))
def test_merged_rankings_begin_with_the_best_of_both(first: list[int], second: list[int], count: int) -> None:
    found = merged(first, second, count=count)
    assert len(found) == len(set(found)) == min(count, 8)
    for ranking in (first, second):
        assert set(ranking[: count // 2]) <= set(found)
