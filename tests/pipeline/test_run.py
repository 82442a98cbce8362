import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from llara.data import read_candidates, sha256_of
from llara.evaluate import PriorWeights, read_predictions
from llara.run.config import load_config
from llara.run.names import file_stems
from llara.train import read_metrics

if TYPE_CHECKING:
    from tests.pipeline.conftest import Trained, World

RUN_FILES = {
    "config.yaml", "manifest.json", "metrics.jsonl", "projector.safetensors", "report.html", "evaluation.json",
    "generation.json", "histories.parquet", "catalog.parquet", "llara.json", ".llara-run",
}  # fmt: skip
RUN_FOLDERS = {
    "adapter", "backbone", "candidates", "checkpoints", "figures", "predictions", "recommender", "tensorboard"
}  # fmt: skip
PLAIN = {".safetensors", ".json", ".jsonl", ".yaml", ".parquet", ".html", ".png"}


def _numbers(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What must not change between two evaluations of the same: everything but seconds."""
    models = {
        model["name"]: {key: value for key, value in model.items() if key != "seconds"}
        for model in evaluation["models"]
    }
    return {key: evaluation[key] for key in ("candidate_hashes", "slices")} | {"models": models}


def test_installed_command_prints_its_help_and_exits_with_zero() -> None:
    command = Path(sys.executable).with_name("llara")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("quickstart", "data", "train", "evaluate", "recommend"):
        assert name in done.stdout


def test_imported_log_is_checked_and_described(dataset: "World") -> None:
    checked = dataset.llara("data", "check", dataset.data, "--json").json()
    assert (checked["ok"], checked["folder"]) == (True, str(dataset.data))
    assert "0 errors" in dataset.llara("data", "check", dataset.data).out
    picture = dataset.folder / "picture.png"
    described = dataset.llara("data", "describe", dataset.data, "--picture", picture, "--json").json()
    assert (described["num_users"], described["num_items"], described["num_interactions"]) == (40, 32, 320)
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = dataset.llara("data", "describe", dataset.data, "--picture", picture)
    assert "interactions per user" in shown.out
    assert str(picture) in shown.err


def test_import_prints_one_json_object(dataset: "World", tmp_path: Path) -> None:
    log, items = dataset.folder / "log.csv", dataset.folder / "items.csv"
    found = dataset.llara("data", "import", log, tmp_path / "again", "--items", items, "--json").json()
    assert (found["num_users"], found["name"]) == (40, "again")
    assert found["interactions_sha256"] == sha256_of(dataset.data / "interactions.parquet")


def test_run_folder_holds_what_the_contract_names(world: "World") -> None:
    assert {path.name for path in world.hybrid.iterdir() if path.is_file()} == RUN_FILES
    folders = {path.name for path in world.hybrid.iterdir() if path.is_dir()}
    assert folders - {"evaluations"} == RUN_FOLDERS
    assert (world.hybrid / "adapter" / "adapter_model.safetensors").is_file()
    assert {path.name for path in (world.hybrid / "candidates").iterdir()} == {"test-00.parquet", "test-01.parquet"}
    assert not list(world.folder.glob("*.partial"))


def test_nothing_in_a_run_folder_is_pickled(world: "World") -> None:
    for name, content in world.contents(world.hybrid).items():
        assert Path(name).suffix in PLAIN or name.startswith(("tensorboard/events.out.tfevents", ".llara-run"))
        assert not content.startswith((b"\x80", b"PK")), name


def test_config_and_manifest_say_what_was_run(world: "World") -> None:
    config = load_config(world.hybrid / "config.yaml")
    assert config == load_config(world.config("hybrid"))
    manifest = json.loads((world.hybrid / "manifest.json").read_text())
    assert {"llara", "torch", "transformers"} <= set(manifest["versions"])
    assert (manifest["seed"], manifest["data"]["num_users"]) == (0, 40)
    assert manifest["data"]["interactions_sha256"] == sha256_of(world.data / "interactions.parquet")
    assert manifest["data"]["items_sha256"] == sha256_of(world.data / "items.parquet")
    assert {"commit", "fingerprint", "python", "platform"} <= set(manifest)
    assert set(manifest["seconds"]) == {"recommender", "backbone", "training", "evaluation"}


def test_metrics_follow_the_curriculum_step_by_step(world: "World") -> None:
    hybrid, text_only = read_metrics(world.hybrid), read_metrics(world.text_only)
    steps = len(hybrid)
    assert [record["step"] for record in hybrid] == list(range(steps))
    assert [record["hybrid_planned"] for record in hybrid] == pytest.approx([step / steps for step in range(steps)])
    assert {record["hybrid_realized"] for record in text_only} == {0.0}
    assert sum("validation_hit_ratio" in record for record in hybrid) == 3
    assert hybrid[-1]["loss"] < hybrid[0]["loss"]


def test_training_prints_one_json_object_with_logs_apart(trained: "Trained") -> None:
    found = trained.hybrid.json()
    assert found["run"] == str(trained.world.hybrid)
    names = [model["name"] for model in found["evaluation"]["models"]]
    assert names == ["popularity", "sasrec", "hybrid LLaRA (listwise)", "hybrid LLaRA (answer)"]
    assert found["evaluation"]["baseline"] == "sasrec"
    assert found["generation"]["models"][0]["name"] == "hybrid LLaRA (free generation)"
    assert "best validation HR@1" in trained.hybrid.err
    saved = json.loads((trained.world.hybrid / "evaluation.json").read_text())["summary"]
    assert saved == found["evaluation"]


def test_training_into_a_pipe_is_a_line_per_stage_and_per_validation(trained: "Trained") -> None:
    lines = trained.hybrid.err.strip().splitlines()
    beginnings = [
        "SASRec: best validation NDCG@10",
        "loading the language model: ",
        *(f"training hybrid LLaRA: step {step} of 10, loss " for step in (3, 7, 10)),
        "training hybrid LLaRA: best validation HR@1",
        "ranking with hybrid LLaRA (listwise): ",
        "ranking with hybrid LLaRA (answer): ",
        "generating with hybrid LLaRA (free generation): ",
    ]
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)


def test_training_shows_where_its_time_went(trained: "Trained") -> None:
    for stage in ("recommender", "backbone", "training", "evaluation", "together"):
        assert stage in trained.text_only.err


def test_training_shows_a_table_and_where_the_report_is(trained: "Trained") -> None:
    for part in ("popularity", "sasrec", "text-only", "(listwise)", "HR@1", "NDCG@10", "seconds"):
        assert part in trained.text_only.out
    assert str(trained.world.text_only / "report.html") in trained.text_only.err


def test_text_only_and_hybrid_runs_rank_the_same_candidates(world: "World") -> None:
    for draw in ("test-00.parquet", "test-01.parquet"):
        one, other = (read_candidates(run / "candidates" / draw) for run in (world.hybrid, world.text_only))
        assert one.sha256 == other.sha256
    hashes = [json.loads((run / "evaluation.json").read_text())["summary"]["candidate_hashes"]
              for run in (world.hybrid, world.text_only)]  # fmt: skip
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[0][1]


def test_predictions_hold_a_line_per_draw_and_row(world: "World") -> None:
    files = {path.name for path in (world.hybrid / "predictions").iterdir()}
    assert files == {
        "popularity.parquet", "sasrec.parquet", "hybrid-llara-listwise.parquet", "hybrid-llara-answer.parquet",
        "hybrid-llara-free-generation.parquet",
    }  # fmt: skip
    frame = pl.read_parquet(world.hybrid / "predictions" / "hybrid-llara-listwise.parquet")
    assert frame.height == 2 * 4
    assert all(target in candidates for target, candidates in frame.select("target_id", "candidate_ids").rows())
    hits = json.loads((world.hybrid / "evaluation.json").read_text())["summary"]["models"][2]["hits"]
    assert (frame["rank"] == 1).sum() == hits


def test_rows_are_sliced_by_how_often_training_users_took_the_target(trained: "Trained") -> None:
    world = trained.world
    log = pl.read_csv(world.folder / "log.csv")
    counts = log.filter(pl.col("user_id") <= 32)["item_id"].value_counts()  # the first 8 of 10 users train
    times = dict(counts.rows())
    frame = pl.read_parquet(world.hybrid / "predictions" / "hybrid-llara-listwise.parquet")
    frequent = np.array([times.get(target, 0) for target in frame["target_id"]])
    hits = (frame["rank"] == 1).to_numpy()
    found = trained.hybrid.json()
    by_count, by_length = found["evaluation"]["slices"]
    assert (by_count["by"], by_length["by"]) == ("target_count", "history_length")
    for one in by_count["slices"]:
        inside = (frequent >= one["low"]) & (frequent <= (one["high"] or np.inf))
        assert one["rows"] * 2 == inside.sum(), "two draws of each row"
        (model,) = (model for model in one["models"] if model["name"] == "hybrid LLaRA (listwise)")
        assert model["hr@1"] == pytest.approx(hits[inside].mean())
        assert model["versus_baseline"]["num_rows"] == one["rows"]
    assert sum(one["rows"] for one in by_count["slices"]) == 4
    assert [(one["bucket"], one["rows"]) for one in by_length["slices"]] == [("6+", 4)], "users have 8 items"
    assert found["generation"]["slices"][0]["slices"][0]["models"][0]["name"] == "hybrid LLaRA (free generation)"


def test_report_shows_every_model_and_no_title_acts_as_markup(world: "World") -> None:
    report = (world.hybrid / "report.html").read_text()
    for part in ("popularity", "sasrec", "hybrid LLaRA (listwise)", "Free generation on 1 draw"):
        assert part in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_evaluating_a_finished_run_gives_the_numbers_of_its_training(trained: "Trained") -> None:
    world = trained.world
    before = world.contents(world.hybrid)
    output = world.folder / "again"
    found = world.llara("evaluate", world.hybrid, "--output", output, "--json").json()
    assert _numbers(found["evaluation"]) == _numbers(trained.hybrid.json()["evaluation"])
    assert _numbers(found["generation"]) == _numbers(trained.hybrid.json()["generation"])
    assert world.contents(world.hybrid) == before
    assert (output / "report.html").is_file()


def test_evaluating_against_another_run_shows_its_own_numbers_beside(world: "World") -> None:
    found = world.llara("evaluate", world.hybrid, "--against", world.text_only, "--scorer", "listwise", "--json").json()
    models = _numbers(found["evaluation"])["models"]
    assert set(models) == {
        "popularity", "sasrec", "text-only LLaRA (listwise), text-only", "hybrid LLaRA (listwise)"
    }  # fmt: skip
    own = json.loads((world.text_only / "evaluation.json").read_text())["summary"]
    beside = models["text-only LLaRA (listwise), text-only"]
    assert beside["hits"] == _numbers(own)["models"]["text-only LLaRA (listwise)"]["hits"]
    assert found["model"] == "hybrid LLaRA (listwise)"
    hits = {name: model["hits"] / model["total"] for name, model in models.items()}
    (test,) = found["differences"].values()
    assert list(found["differences"]) == ["text-only LLaRA (listwise), text-only"]
    difference = hits["hybrid LLaRA (listwise)"] - hits["text-only LLaRA (listwise), text-only"]
    assert test["difference"] == pytest.approx(difference)
    assert test["interval"]["low"] <= difference <= test["interval"]["high"]
    assert found["output"] == str(world.hybrid / "evaluations" / "test")
    again = world.llara("evaluate", world.hybrid, "--scorer", "auto")
    assert "exists already" in again.refused()
    shown = world.llara("evaluate", world.hybrid, "--scorer", "auto", "--draws", "1", "--force")
    assert (shown.code, "text-only" in shown.out) == (0, False)
    options = ("--scorer", "answer", "--draws", "1", "--force")
    beside = world.llara("evaluate", world.hybrid, "--against", world.text_only, *options)
    line = "hybrid LLaRA (answer) - text-only LLaRA (listwise), text-only: HR@1 "
    assert line in beside.out
    assert "4 rows: " in beside.out.split(line)[1]


def test_runs_with_names_alike_get_files_of_their_own(world: "World", tmp_path: Path) -> None:
    runs = [tmp_path / "one" / "x-1", tmp_path / "one" / "x 1", tmp_path / "two" / "x-1"]
    for run, source in zip(runs, (world.hybrid, world.text_only, world.text_only), strict=True):
        shutil.copytree(source, run)
    output, beside = tmp_path / "out", [option for run in runs for option in ("--against", run)]
    found = world.llara("evaluate", world.hybrid, *beside, "--scorer", "answer", "--output", output, "--json").json()
    names = [model["name"] for model in found["evaluation"]["models"][2:5]]
    assert [name.split(", ")[1] for name in names] == ["one/x-1", "x 1", "two/x-1"]
    files = [output / "predictions" / f"{stem}.parquet" for stem in file_stems(names).values()]
    scores = [read_predictions(file).scores for file in files]
    assert len({np.asarray(some).tobytes() for some in scores}) == 2, "two of the three are copies of one run"
    assert len(list((output / "predictions").glob("*.parquet"))) == len(found["evaluation"]["models"]) == 6


def test_a_run_given_twice_is_refused_before_anything_is_scored(world: "World") -> None:
    for runs in ((world.hybrid,), (world.text_only, world.folder / "." / "text-only")):
        options = [option for run in runs for option in ("--against", run)]
        assert "is given twice" in world.llara("evaluate", world.hybrid, *options, "--force").refused()


def test_runs_are_compared_on_dense_rows_of_which_each_user_has_one(trained: "Trained") -> None:
    """Leave-one-out has one row a user: dense rows, thinned, were once taken for the protocol's own."""
    world = trained.world
    chosen = ("data.split.method=leave-one-out", "evaluate.rows=dense", "evaluate.rows_limit=9")
    settings = [part for setting in chosen for part in ("--set", setting)]
    for name in ("one-out", "one-out-text"):
        text = ("--set", "train.curriculum.kind=text-only") if name.endswith("text") else ()
        world.llara("train", world.config(name), *settings, *text)
    run, other = (world.folder / name for name in ("one-out", "one-out-text"))
    found = world.llara("evaluate", run, "--against", other, "--rows", "dense", "--scorer", "auto", "--json").json()
    assert (found["evaluation"]["rows"], found["evaluation"]["users"]) == (9, 9)
    assert [name.endswith(", one-out-text") for name in found["differences"]] == [True]


def test_other_rows_and_draws_can_be_evaluated(world: "World") -> None:
    arguments = ("--task", "validation", "--draws", "3", "--scorer", "answer", "--json")
    found = world.llara("evaluate", world.hybrid, *arguments).json()["evaluation"]
    assert (found["rows"], found["draws"], len(found["models"])) == (4, 3, 3)
    test = json.loads((world.hybrid / "evaluation.json").read_text())["summary"]["candidate_hashes"]
    assert not set(found["candidate_hashes"]) & set(test)


def test_recommendations_leave_out_what_the_user_had(world: "World") -> None:
    found = world.llara("recommend", world.hybrid, "--user", "3", "-k", "5", "--json").json()
    history = pl.read_csv(world.folder / "log.csv").filter(pl.col("user_id") == 3)["item_id"].to_list()
    assert [entry["item_id"] for entry in found["history"]] == history
    items = [entry["item_id"] for entry in found["recommendations"]]
    assert (len(items), set(items) & set(history)) == (5, set())
    assert [entry["rank"] for entry in found["recommendations"]] == [1, 2, 3, 4, 5]
    scores = [entry["score"] for entry in found["recommendations"]]
    assert scores == sorted(scores, reverse=True)


def test_unseen_history_gives_what_a_user_with_that_history_gets(world: "World") -> None:
    known = world.llara("recommend", world.hybrid, "--user", "3", "--json").json()
    typed = ",".join(str(entry["item_id"]) for entry in known["history"])
    assert world.llara("recommend", world.hybrid, "--history", typed, "--json").json() == known
    assert len(world.llara("recommend", world.hybrid, "--history", " 101, 102 ", "--json").json()["history"]) == 2


def test_recommendations_are_shown_with_titles_as_they_are(world: "World") -> None:
    shown = world.llara("recommend", world.hybrid, "--history", "101,102", "-k", "30", "--retrieve", "30")
    assert shown.code == 0
    assert "101  Story 0 [bold]" in shown.out
    assert "Story 7 [bold]" in shown.out
    assert "#30" in shown.out


def test_moved_run_recommends_the_same_without_its_data(world: "World", tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(world.hybrid, moved)
    arguments = ("--history", "105,106,107", "--json")
    here, there = (world.llara("recommend", run, *arguments).json() for run in (world.hybrid, moved))
    assert here == there


def test_moved_data_is_found_when_told(world: "World", tmp_path: Path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(world.data, moved)
    output = tmp_path / "evaluation"
    arguments = ("--data", moved, "--output", output, "--scorer", "auto", "--draws", "1", "--json")
    assert world.llara("evaluate", world.hybrid, *arguments).json()["output"] == str(output)


def test_full_tuning_with_recommender_prior_keeps_its_numbers_when_opened_again(world: "World") -> None:
    run = world.folder / "prior"
    chosen = (
        "recommender_prior=true",
        "prior_folds=2",
        "part_vectors=true",
        "practice.steps=4",
        "backbone.tuning=full",
        "backbone.adapt.steps=2",
        "backbone.adapt.block_tokens=64",
        "evaluate.generation_draws=0",
        "evaluate.validation_rows=dense",
        'prompt.item_text="{title} ({year})"',
    )
    settings = [part for setting in chosen for part in ("--set", setting)]
    trained = world.llara("train", world.config("prior"), *settings, "--json").json()
    assert trained["generation"] is None
    assert not (run / "adapter").exists()
    assert not (run / "start").exists()
    assert not (run / "folds").exists()
    again = world.llara("evaluate", run, "--json").json()
    assert _numbers(again["evaluation"]) == _numbers(trained["evaluation"])
    weighing = html.escape(PriorWeights.load(run / "calibration.json").in_words("sasrec"))
    for report in (run / "report.html", Path(again["output"], "report.html")):
        assert weighing in report.read_text(encoding="utf-8")
    assert len(world.llara("recommend", run, "--user", "1", "-k", "3", "--json").json()["recommendations"]) == 3


@pytest.mark.parametrize("items", ["titles", "vectors"])
def test_a_model_of_histories_alone_ranks_candidates_and_the_catalog(world: "World", items: str) -> None:
    run = world.folder / f"sequence-{items}"
    folds = 2 if items == "titles" else 0
    chosen = (
        "train.objective.name=sequence", "recommender_prior=true", f"prior_folds={folds}", "train.windows.length=4",
        "train.windows.scored_items=12", "evaluate.validation_rows=dense", f"sequence.items={items}",
    )  # fmt: skip
    settings = [part for setting in chosen for part in ("--set", setting)]
    planned = world.llara("plan", world.config(run.name), *settings, "--json").json()
    assert {"training"} <= {stage["name"] for stage in planned["stages"]}
    assert ("prior folds" in {stage["name"] for stage in planned["stages"]}) == (folds > 0)
    trained = world.llara("train", world.config(run.name), *settings, "--json").json()
    ours = [model["name"] for model in trained["evaluation"]["models"]][2:]
    assert ours[0].startswith("hybrid LLaRA (sequence")  # calibration may leave so small a head no weight
    assert ours[1:] == ["hybrid LLaRA (sequence without sasrec)"]
    again = world.llara("evaluate", run, "--json").json()
    assert _numbers(again["evaluation"]) == _numbers(trained["evaluation"])
    report = (run / "report.html").read_text(encoding="utf-8")
    assert html.escape(PriorWeights.load(run / "calibration.json").in_words("sasrec")) in report
    assert bool(re.search(r"these \w+, oldest first:", report)) == (items == "titles")
    assert ("◆ (" in report) == (items == "vectors")
    assert "came next:" not in report
    ranked = world.llara("recommend", run, "--history", "105,106", "-k", "9", "--json").json()["recommendations"]
    scores = [item["score"] for item in ranked]
    assert scores == sorted(scores, reverse=True)
    assert "needs a trained listwise head" in world.llara("evaluate", run, "--scorer", "listwise").refused()
    _the_whole_catalog_is_ranked(world, run)


def _the_whole_catalog_is_ranked(world: "World", run: Path) -> None:
    found = world.llara("evaluate", run, "--task", "full", "--json").json()
    models = {model["name"]: model for model in found["evaluation"]["models"]}
    assert "popularity" in models
    assert all(model["total"] == found["evaluation"]["rows"] for model in models.values())
    assert all(0 < model["coverage@10"] <= 1 for model in models.values())
    assert models[found["model"]]["hr@5"] <= models[found["model"]]["hr@10"] <= models[found["model"]]["hr@20"]
    page = Path(found["output"], "report.html").read_text(encoding="utf-8")
    assert "puts all" in page
    assert "What the first 10 places are made of" in page
    assert "counts draws" in world.llara("evaluate", run, "--task", "full", "--draws", "2").refused()


def test_two_items_are_ranked_and_told_apart(trained: "Trained") -> None:
    world, run = trained.world, trained.world.folder / "hybrid"
    for task, metric in (("pairwise", "hr@1"), ("pointwise", "uauc"), ("listwise", "ndcg@3")):
        found = world.llara("evaluate", run, "--task", task, "--json").json()["evaluation"]
        assert found["task"] == task
        assert (found["num_candidates"] == 2) == (task != "listwise")
        assert all(0 <= model[metric] <= 1 for model in found["models"] if model["task"] == "sampled ranking")
    assert "cannot show a whole catalog" in world.llara("evaluate", run, "--task", "full").refused()
