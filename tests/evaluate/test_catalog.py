"""Ranking the whole catalog, checked against counting by hand and one row at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import Examples
from llara.errors import ConfigError, DataError
from llara.evaluate import CatalogTask, EvaluationReport, compare_results, judge
from llara.evaluate.catalog import list_measures
from llara.evaluate.tables import column_titles, list_rows, list_titles, lists_table, results_table, summary_sentence
from llara.recommender import Progress, RecommenderScorer, SASRec

NUM_ITEMS = 6
HISTORY = np.array([[1, 2, 0], [3, 0, 0]])
CHOSEN = np.array([0, 8, 4, 2, 1, 0, 0])


class Fixed:
    """The same scores of all items for every history."""

    def __init__(self, scores: list[float], name: str = "fixed") -> None:
        self.scores, self.name = np.array([-np.inf, *scores]), name

    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        return np.asarray(self.scores[candidates])

    def score_catalog(self, history: np.ndarray) -> np.ndarray:
        return np.tile(self.scores, (len(history), 1))


class CandidatesAlone:
    name = "picky"

    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        return np.zeros(candidates.shape)


def task_of(targets: list[int], cutoff: int = 2, history: np.ndarray = HISTORY) -> CatalogTask:
    examples = Examples(history, (history != 0).sum(axis=1), np.array(targets), np.arange(len(history)))
    ids: list[int | str] = [0, *(f"i{item}" for item in range(1, NUM_ITEMS + 1))]
    users = [f"u{user}" for user in range(len(history))]
    return CatalogTask("test", examples, (), users, ids, task="full", chosen=CHOSEN, cutoff=cutoff, longest=3)


def test_targets_are_ranked_among_all_items_but_the_history() -> None:
    judged = judge(Fixed([9, 8, 7, 6, 5, 4]), task_of([4, 6]))
    # Row 0 has had items 1 and 2: before 4 stands only 3. Row 1 has had 3: before 6 stand 1, 2, 4 and 5.
    assert judged.result.ranks.tolist() == [[2, 5]]
    assert judged.result.num_candidates == NUM_ITEMS
    assert judged.result.task == "full ranking"
    assert judged.predictions.candidate_ids.tolist() == [[["i3", "i4", "i5"], ["i1", "i2", "i4"]]]
    assert judged.predictions.chosen_ids == [["i3", "i1"]]
    assert judged.predictions.target_ids.tolist() == [["i4", "i6"]]


def test_equal_scores_count_against_the_target() -> None:
    assert judge(Fixed([1] * NUM_ITEMS), task_of([4, 6])).result.ranks.tolist() == [[4, 5]]


def test_a_target_that_cannot_be_scored_is_last_and_a_broken_row_gains_nothing() -> None:
    assert judge(Fixed([1, 1, 1, -np.inf, 1, 1]), task_of([4, 6])).result.ranks[0, 0] == NUM_ITEMS
    assert judge(Fixed([1, 1, 1, 9, np.nan, 1]), task_of([4, 6])).result.ranks.tolist() == [[NUM_ITEMS, NUM_ITEMS]]


def test_a_target_that_the_user_had_before_is_still_ranked() -> None:
    assert judge(Fixed([9, 8, 7, 6, 5, 4]), task_of([1, 3])).result.ranks.tolist() == [[1, 3]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=NUM_ITEMS, max_size=NUM_ITEMS), min_size=1, max_size=1))
def test_ranks_are_those_of_sorting_by_hand(scores: list[list[int]]) -> None:
    found = judge(Fixed([float(value) for value in scores[0]]), task_of([4, 6])).result.ranks[0]
    for row, target in enumerate((4, 6)):
        unseen = [item for item in range(1, NUM_ITEMS + 1) if item not in HISTORY[row] and item != target]
        assert found[row] == 1 + sum(scores[0][item - 1] >= scores[0][target - 1] for item in unseen)


def test_all_rows_at_once_are_each_row_alone() -> None:
    rng = np.random.default_rng(0)
    history = np.array([rng.permutation(6)[:3] + 1 for _ in range(600)])  # more than a block
    targets = [int(rng.choice(np.setdiff1d(np.arange(1, 7), row))) for row in history]
    scorer = RecommenderScorer(SASRec(NUM_ITEMS, width=8, seed=0).eval())
    whole = judge(scorer, task_of(targets, history=history)).result.ranks[0]
    for row in (0, 255, 256, 599):
        one = judge(scorer, task_of([targets[row]], history=history[row : row + 1]))
        assert one.result.ranks[0, 0] == whole[row]


def test_measures_say_what_lists_are_made_of() -> None:
    found = list_measures(np.array([[1, 5, 3], [1, 2, 4]]), task_of([4, 6]))
    assert found["coverage@2"] == pytest.approx(3 / 6)  # items 1, 5 and 2
    assert found["cold@2"] == pytest.approx(2 / 4)  # 5 has no interaction, 2 has four
    assert found["popularity@2"] == pytest.approx(((8 + 0 + 8 + 4) / 4) / ((1 + 0) / 2))
    bits = [np.log2(21 / (count + 1)) for count in (8, 0, 8, 4)]
    assert found["novelty@2"] == pytest.approx(np.mean(bits))
    assert np.isnan(list_measures(np.array([[1, 5, 3]]), task_of([6, 5]))["popularity@2"])


def test_the_report_counts_hits_among_the_first_and_survives_being_saved() -> None:
    task = task_of([4, 6], cutoff=2)
    by_name = {"good": [0.0, 0, 1, 3, 2, 9], "bad": [9.0, 8, 7, 1, 2, 0]}
    results = [judge(Fixed(scores, name), task).result for name, scores in by_name.items()]
    report = replace(compare_results(results, baseline="bad"), task="full")
    assert (report.result("good").hits, report.result("bad").hits) == (2, 0)
    assert report.random_hit_ratio == pytest.approx(2 / NUM_ITEMS)
    again = EvaluationReport.from_json(report.to_json())
    assert again.summary() == report.summary()
    summary = again.summary()["models"][0]
    assert summary["coverage@10"] is None  # these lists are of two
    assert "HR@2 [95% interval]" in column_titles(report)
    assert summary_sentence(report).startswith("Good put the item that the user really chose next among the first 2 in")
    assert results_table(report).row_count == 2


def test_lists_have_a_table_of_their_own() -> None:
    report = replace(
        compare_results([judge(Fixed([3, 2, 1, 0, 0, 0]), task_of([4, 6], cutoff=10)).result]), task="full"
    )
    assert list_titles(report) == ("model", "coverage", "novelty", "popularity bias", "cold items")
    assert len(list_rows(report)) == 1
    assert "coverage" not in column_titles(report)
    table = lists_table(report, compact=True)
    assert table is not None
    assert table.row_count == 1
    assert lists_table(replace(report, task="sequential")) is None


def test_results_with_other_cutoffs_do_not_share_a_table() -> None:
    results = [judge(Fixed([1] * 6, f"m{k}"), task_of([4, 6], cutoff=k)).result for k in (2, 3)]
    with pytest.raises(DataError, match=r"among the first 2.*among the first 3"):
        compare_results(results)


def test_scorers_of_candidates_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="'picky' ranks given candidates"):
        judge(CandidatesAlone(), task_of([4, 6]))


def test_scores_of_another_catalog_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected scores of 6 items and padding for each row, found shape \(2, 4\)"):
        judge(Fixed([1, 2, 3]), task_of([4, 6]))


def test_rows_are_known_by_histories_and_targets() -> None:
    assert task_of([4, 6]).hashes == task_of([4, 6]).hashes
    assert task_of([4, 6]).hashes != task_of([4, 5]).hashes
    assert task_of([4, 6]).hashes != task_of([4, 6], history=HISTORY[::-1]).hashes
