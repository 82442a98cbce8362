"""A task and a scorer of one's own, each registered from this one file, through the command line."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llara.errors import ConfigError
from llara.evaluate import (
    SCORERS,
    TASKS,
    EvaluationReport,
    Metric,
    Part,
    RankingTask,
    SequentialTask,
    TaskMaterial,
    register_scorer,
    register_task,
)
from llara.recommender import Progress

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


class Pairs:
    """Which of two items came next? Judged by how often the first of both is the right one, as odds."""

    name = "mine"
    metrics = (Metric("odds", "odds", lambda result: result.hits / max(1, result.total - result.hits)),)

    def rows(
        self, material: TaskMaterial, part: Part, *, draws: int, dense: bool = False, limit: int = 10_000
    ) -> RankingTask:
        two = replace(material, candidates=replace(material.candidates, num_negatives=1))
        return SequentialTask().rows(two, part, draws=draws, dense=dense, limit=limit)


class Smallest:
    """Puts the item with the smallest number first."""

    name = "the smallest number"

    def score(self, history: np.ndarray, candidates: np.ndarray, *, on_progress: Progress | None = None) -> np.ndarray:
        return -candidates.astype(np.float64)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_task(Pairs())
    register_scorer("smallest", lambda material: Smallest())
    yield
    del TASKS["mine"], SCORERS["smallest"]


def test_a_task_of_ones_own_is_asked_and_shows_its_column(world: "World", tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.hybrid, run)
    found = world.llara("evaluate", run, "--task", "mine", "--scorer", "answer", "--json").json()
    evaluation = found["evaluation"]
    assert (evaluation["task"], evaluation["num_candidates"]) == ("mine", 2)
    for model in evaluation["models"]:
        assert model["odds"] == pytest.approx(model["hits"] / max(1, model["total"] - model["hits"]))
    assert found["output"] == str(run / "evaluations" / "mine-test")
    shown = world.llara("evaluate", run, "--task", "mine", "--scorer", "answer", "--force").out
    assert "odds" in shown
    assert "NDCG@10" not in shown
    assert "odds</th>" in (run / "evaluations" / "mine-test" / "report.html").read_text()
    saved = EvaluationReport.load(run / "evaluations" / "mine-test" / "evaluation.json")
    assert saved.task == "mine"
    beside = world.llara(
        "evaluate", run, "--task", "mine", "--scorer", "answer", "--against", world.text_only, "--force",
        "--json",
    ).json()  # fmt: skip
    assert len(beside["differences"]) == 1


def test_a_scorer_of_ones_own_is_judged_beside_the_baselines(world: "World") -> None:
    output = world.folder / "smallest"
    found = world.llara("evaluate", world.hybrid, "--scorer", "smallest", "--output", output, "--json").json()
    assert [model["name"] for model in found["evaluation"]["models"]] == [
        "popularity", "sasrec", "the smallest number"
    ]  # fmt: skip
    assert found["model"] == "the smallest number"
    assert (output / "predictions" / "the-smallest-number.parquet").is_file()


def test_a_baseline_can_be_the_only_scorer(world: "World") -> None:
    output = world.folder / "popularity"
    found = world.llara("evaluate", world.hybrid, "--scorer", "popularity", "--output", output, "--json").json()
    assert [model["name"] for model in found["evaluation"]["models"]] == ["popularity", "sasrec"]
    assert found["model"] == "popularity"


def test_the_words_that_once_chose_the_part_still_do(world: "World") -> None:
    arguments = ("--draws", "1", "--scorer", "recommender", "--json")
    old = world.llara("evaluate", world.hybrid, "--task", "validation", *arguments, "--output", world.folder / "old")
    new = world.llara("evaluate", world.hybrid, "--part", "validation", *arguments, "--output", world.folder / "new")
    assert old.json()["evaluation"]["candidate_hashes"] == new.json()["evaluation"]["candidate_hashes"]
    both = world.llara("evaluate", world.hybrid, "--task", "validation", "--part", "test")
    assert "--task validation is the old way to write --part validation" in both.refused()
    unknown = world.llara("evaluate", world.hybrid, "--task", "nonsense").refused()
    known = "sequential, pairwise, listwise, pointwise, full or mine"
    assert f"--task must be {known}, got 'nonsense'" in unknown


@pytest.mark.parametrize("name", ["mine", "sequential", "test"])
def test_task_names_that_are_taken_are_refused(name: str) -> None:
    task = Pairs()
    task.name = name
    before = dict(TASKS)
    with pytest.raises(ConfigError, match=f"a task named '{name}' already"):
        register_task(task)
    assert before == TASKS
