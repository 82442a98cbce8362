"""`llara plan`: what a run takes, by the stages that the run itself records, without leaving anything behind."""

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from llara.cli.planning import duration

if TYPE_CHECKING:
    from tests.pipeline.conftest import Trained, World

PRIOR = (
    "--set", "recommender_prior=true", "--set", "prior_folds=2", "--set", "practice.steps=12",
    "--set", "backbone.adapt.steps=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(trained: "Trained") -> Any:
    """What `llara plan --json` says of the tiny world's run."""
    return trained.world.llara("plan", trained.world.config("planned"), "--json").json()


def test_stages_are_those_that_the_run_records(world: "World", plan: Any) -> None:
    recorded = json.loads((world.hybrid / "manifest.json").read_text())["seconds"]
    stages = {stage["name"]: stage["seconds"] for stage in plan["stages"]}
    assert set(stages) == {"start", *recorded}
    assert all(seconds > 0 for seconds in stages.values())
    assert plan["seconds"] == pytest.approx(sum(stages.values()))
    assert 1e8 < plan["peak_bytes"] < 1e11


def test_every_stage_that_a_run_can_have_is_planned(world: "World") -> None:
    plan = world.llara("plan", world.config("planned"), *PRIOR, "--json").json()
    names = [stage["name"] for stage in plan["stages"]]
    assert names == [
        "start",
        "recommender",
        "prior folds",
        "backbone",
        "practice",
        "training",
        "calibration",
        "evaluation",
    ]
    limits = [stage["name"] for stage in plan["stages"] if stage["is_limit"]]
    assert limits == ["recommender", "prior folds", "practice"]


def test_each_stage_says_how_certain_it_is(plan: Any) -> None:
    assert all(0.0 < stage["uncertainty"] <= 0.5 for stage in plan["stages"] if stage["name"] != "start")
    assert 0.0 < plan["uncertainty"] <= 0.5


def test_a_plan_without_time_for_probes_has_all_stages_and_is_uncertain(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = ("--set", "data.candidates.draws=20", "--set", "train.objective.name=sum")
    names = [stage["name"] for stage in world.llara("plan", world.config("planned"), *PRIOR, "--json").json()["stages"]]
    monkeypatch.setattr("llara.run.plan._PROBE_SECONDS", 0.0)
    stages = world.llara("plan", world.config("planned"), *PRIOR, *draws, "--json").json()["stages"]
    assert [stage["name"] for stage in stages] == names
    uncertain = {stage["name"]: stage["uncertainty"] for stage in stages}
    assert {uncertain[name] for name in ("practice", "training", "calibration", "evaluation")} == {0.5}
    seconds = {stage["name"]: stage["seconds"] for stage in stages}
    assert 0 < seconds["calibration"] < seconds["training"]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "layers", "heads"), [(768, 12, 12), (576, 30, 9)])
def test_a_large_model_is_planned_within_a_minute(world: "World", width: int, layers: int, heads: int) -> None:
    large = (
        f"backbone.nano.hidden_size={width}", f"backbone.nano.num_layers={layers}", f"backbone.nano.num_heads={heads}",
        "backbone.adapt.steps=200", "practice.steps=100", "train.batch_size=128", "train.objective.name=sum",
        "recommender_prior=true", "data.candidates.draws=20", "evaluate.rows=dense", "evaluate.generation_draws=1",
    )  # fmt: skip
    settings = [part for setting in large for part in ("--set", setting)]
    started = time.perf_counter()
    plan = world.llara("plan", world.config("planned"), *settings, "--json").json()
    assert time.perf_counter() - started < 60
    assert plan["seconds"] > 300


def test_more_of_it_takes_longer(world: "World") -> None:
    def training(epochs: int) -> float:
        plan = world.llara("plan", world.config("planned"), "--set", f"train.epochs={epochs}", "--json").json()
        return float(next(stage["seconds"] for stage in plan["stages"] if stage["name"] == "training"))

    assert training(400) > 10 * training(4)


def test_nothing_is_written(world: "World") -> None:
    config = world.config("planned")
    before = world.contents(world.folder)
    shown = world.llara("plan", config)
    assert shown.code == 0
    assert world.contents(world.folder) == before
    assert "whole run" in shown.out
    assert "at most" in shown.out
    assert "memory:" in shown.out
    assert "may be off by" in shown.out
    assert "GB" in shown.out


def test_what_training_refuses_is_refused(world: "World") -> None:
    config = world.config("planned")
    assert "no/such/folder" in world.llara("plan", config, "--set", "data.folder=no/such/folder").refused()
    assert "unknown key 'train.curiculum'" in world.llara("plan", config, "--set", "train.curiculum.kind=x").refused()
    assert "does not exist" in world.llara("plan", config, "--set", "backbone.path=./nowhere").refused()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (91, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
