"""The tasks beside the paper's: their rows, and the numbers of pointwise, worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import CandidateSet, Examples
from llara.evaluate import RankingTask, judge, task_named
from llara.evaluate.tasks.pointwise import areas, auc
from llara.recommender import Progress


class ByTable:
    """Scores by row and item."""

    name = "table"

    def __init__(self, scores: dict[int, float]) -> None:
        self.scores = scores

    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        return np.array([[self.scores[item] for item in row] for row in candidates.tolist()])


def rows_of_two_users() -> RankingTask:
    """User 0 has two rows, user 1 one; the target stands in column 0, 1, 0."""
    history = np.array([[1], [1], [2]])
    examples = Examples(history, np.array([1, 1, 1]), np.array([3, 4, 5]), np.array([0, 0, 1]))
    draw = CandidateSet(np.array([[3, 6], [7, 4], [5, 8]]), np.array([0, 1, 0]))
    return RankingTask("test", examples, (draw,), ["a", "a", "b"], list(range(9)), task="pointwise", measure=areas)


def test_areas_compare_across_users_and_within_them() -> None:
    scores = {3: 0.9, 6: 0.1, 4: 0.5, 7: 0.6, 5: 0.2, 8: 0.1}
    result = judge(ByTable(scores), rows_of_two_users()).result
    # chosen .9 .5 .2, others .1 .6 .1: 3 + 2 + 2 of 9 pairs; user a: 3 of 4 pairs, user b: 1 of 1
    assert result.measures["auc"] == pytest.approx(7 / 9)
    assert result.measures["uauc"] == pytest.approx((3 / 4 + 1) / 2)
    assert [metric.value(result) for metric in task_named("pointwise").metrics] == [
        pytest.approx(7 / 9), pytest.approx(7 / 8),
    ]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12))
def test_auc_is_the_share_of_pairs_in_order(drawn: list[tuple[int, bool]]) -> None:
    scores, chosen = np.array([float(score) for score, _ in drawn]), np.array([label for _, label in drawn])
    if chosen.all() or not chosen.any():
        return
    pairs = [(up, down) for up in scores[chosen] for down in scores[~chosen]]
    assert auc(scores, chosen) == pytest.approx(np.mean([(up > down) + 0.5 * (up == down) for up, down in pairs]))


def test_a_broken_model_has_no_area() -> None:
    scores = dict.fromkeys(range(9), float("nan"))
    assert np.isnan(judge(ByTable(scores), rows_of_two_users()).result.measures["auc"])


def test_rows_of_some_users_have_no_measures_of_all() -> None:
    result = judge(ByTable(dict.fromkeys(range(9), 1.0)), rows_of_two_users()).result
    assert result.measures
    assert not result.of_rows(np.array([0])).measures
    assert not judge(ByTable(dict.fromkeys(range(9), 1.0)), replace(rows_of_two_users(), measure=None)).result.measures
