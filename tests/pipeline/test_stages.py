"""A run whose training has two stages, through the command line: planned, trained, interrupted, evaluated."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llara.train import read_metrics
from tests.pipeline.conftest import ctrl_c_when, tiny_settings

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

STAGES = [
    {"objective": {"name": "sequence"}, "windows": {"length": 4}},
    {"objective": {"name": "sum"}, "epochs": 1.5, "optimizer": {"weight_decay": 0.1}},
]


def config(world: "World", name: str) -> Path:
    """The tiny run in two stages, with everything that looks at what is trained."""
    settings = tiny_settings(world.folder, name)
    settings["train"]["stages"] = STAGES
    settings |= {"recommender_prior": True, "prior_folds": 2, "practice": {"steps": 4}}
    settings |= {"ranked_candidates": True, "sequence": {"items": "vectors"}}
    path = world.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def staged(dataset: "World") -> Any:
    """What `llara train --json` says of it, with what it wrote to stderr."""
    outcome = dataset.llara("train", config(dataset, "staged"), "--json")
    return {**outcome.json(), "said": outcome.err}


def test_every_scorer_that_a_stage_trains_is_in_the_table(dataset: "World", staged: Any) -> None:
    run = dataset.folder / "staged"
    names = [model["name"] for model in staged["evaluation"]["models"]]
    for way in ("listwise", "sequence", "answer"):
        whole = [name for name in names if name.startswith(f"hybrid LLaRA ({way}") and " without " not in name]
        assert len(whole) == 1, names
    assert staged["generation"] is not None
    assert json.loads((run / "llara.json").read_text())["default_scorer"] == "listwise"
    for way in ("listwise", "sequence"):
        assert f"{way} head" in staged["said"], "its prior was not weighed"


def test_the_run_says_which_stages_there_were(dataset: "World", staged: Any) -> None:
    run = dataset.folder / "staged"
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    assert stages == staged["stages"]
    assert [stage["objective"] for stage in stages] == ["sequence", "sum"]
    assert staged["best_step"] == stages[0]["steps"] + stages[1]["best_step"]
    assert staged["best_validation_hit_ratio"] == stages[1]["best_validation_hit_ratio"]
    for place, name in enumerate(("sequence", "sum"), start=1):
        assert f"training hybrid LLaRA, stage {place} of 2: {name}: best validation" in staged["said"]
    records = read_metrics(run)
    assert [record["stage"] for record in records] == [1] * stages[0]["steps"] + [2] * stages[1]["steps"]
    assert [record["step"] for record in records] == list(range(len(records)))


def test_a_plan_lists_each_stage_under_the_name_that_the_run_records(dataset: "World", staged: Any) -> None:
    plan = dataset.llara("plan", config(dataset, "staged"), "--json").json()
    amounts = {stage["name"]: stage["amount"] for stage in plan["stages"]}
    assert set(amounts) == {"start", *staged["seconds"]}
    planned = [name for name in amounts if name.startswith("training")]
    assert planned == ["training stage 1 of 2: sequence", "training stage 2 of 2: sum"]
    for name, stage in zip(planned, staged["stages"], strict=True):
        assert amounts[name].startswith(f"{stage['steps']} steps of 16 rows, 3 validations")


@pytest.mark.usefixtures("interruptible")
def test_a_run_interrupted_in_its_second_stage_resumes_there(dataset: "World", staged: Any) -> None:
    partial = dataset.folder / "cut.partial"
    with ctrl_c_when(partial / "checkpoints" / "stage-2" / "last" / "state.json"):
        outcome = dataset.llara("train", config(dataset, "cut"))
    assert outcome.code == 130, outcome.err
    first = partial / "checkpoints" / "stage-1" / "last" / "state.json"
    before = first.stat().st_mtime_ns
    resumed = dataset.llara("train", config(dataset, "cut"), "--resume", "--json").json()
    after = dataset.folder / "cut" / "checkpoints" / "stage-1" / "last" / "state.json"
    assert after.stat().st_mtime_ns == before, "the first stage was trained again"
    assert resumed["stages"] == staged["stages"]
    losses = [[record["loss"] for record in read_metrics(dataset.folder / name)] for name in ("cut", "staged")]
    assert losses[0] == losses[1]
    hits = [[model["hits"] for model in run["evaluation"]["models"]] for run in (resumed, staged)]
    assert hits[0] == hits[1]
