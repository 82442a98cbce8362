"""Anything that scores candidates for histories can be judged."""

import numpy as np
import pytest
import torch

from llara.data import CandidateSet, Examples
from llara.errors import ConfigError
from llara.evaluate import SCORERS, RankingTask, judge, register_scorer
from llara.recommender import CatalogScorer, Popularity, Progress, RecommenderScorer, SASRec, Scorer


class LastItemsNeighbor:
    """Scores items by how close their number is to that of the last item."""

    name = "neighbor"

    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        last = history[np.arange(len(history)), (history != 0).sum(axis=1) - 1]
        return np.asarray(-np.abs(candidates - last[:, None]), dtype=np.float64)


class Careless(LastItemsNeighbor):
    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        return super().score(history, candidates)[:, :2]


@pytest.fixture
def task() -> RankingTask:
    """Two users, two draws of three candidates."""
    history = np.array([[3, 7, 0], [1, 2, 5]])
    examples = Examples(history, np.array([2, 3]), np.array([8, 6]), np.array([0, 1]))
    draws = (
        CandidateSet(np.array([[8, 1, 2], [9, 6, 1]]), np.array([0, 1])),
        CandidateSet(np.array([[7, 8, 3], [6, 4, 1]]), np.array([1, 0])),
    )
    return RankingTask("test", examples, draws, ["a", "b"], list(range(10)))


def test_a_scorer_of_ones_own_is_judged_like_any_other(task: RankingTask) -> None:
    scorer: Scorer = LastItemsNeighbor()
    judged = judge(scorer, task)
    assert judged.result.name == "neighbor"
    assert judged.result.ranks.tolist() == [[1, 1], [2, 1]]  # 7 itself stands nearer to 7 than 8 does
    assert judged.predictions.scores is not None
    assert judged.predictions.scores[0].tolist() == [[-1, -6, -5], [-4, -1, -4]]


def test_recommenders_and_popularity_score_as_they_do_themselves(task: RankingTask) -> None:
    history = torch.from_numpy(task.examples.history)
    for recommender in (SASRec(9, width=8, seed=0).eval(), Popularity(torch.arange(10))):
        scorer: CatalogScorer = RecommenderScorer(recommender)
        items = task.draws[0].items
        with torch.no_grad():
            expected = recommender.score(history, torch.from_numpy(items)).double().numpy()
        found = scorer.score(task.examples.history, items)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        whole = scorer.score_catalog(task.examples.history)
        assert np.isneginf(whole[:, 0]).all()
        np.testing.assert_allclose(np.take_along_axis(whole, items, axis=1), found, rtol=1e-5)


def test_progress_of_a_recommender_counts_every_row_of_every_draw(task: RankingTask) -> None:
    counted: list[int] = []
    judge(RecommenderScorer(SASRec(9, width=8, seed=0).eval()), task, on_progress=counted.append)
    assert sum(counted) == 4


def test_scores_that_are_not_one_per_candidate_are_refused(task: RankingTask) -> None:
    with pytest.raises(ConfigError, match=r"scorer 'neighbor': expected scores .*\(4, 3\), found \(4, 2\)"):
        judge(Careless(), task)


@pytest.mark.parametrize("name", ["answer", "all", "popularity"])
def test_names_that_are_taken_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"a scorer named '{name}' already"):
        register_scorer(name, lambda _: LastItemsNeighbor())
    assert list(SCORERS) == ["popularity", "recommender", "answer", "listwise", "sequence"]
