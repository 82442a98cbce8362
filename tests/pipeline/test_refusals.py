"""Bad input through the command line: exit code 2, what, where and remedy, and nothing is written."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from safetensors.torch import save_file

from llara.recommender import SASRec, save_recommender

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--set", "train.curiculum.kind=paper"), ("unknown key 'train.curiculum'", "'train.curriculum'")),
        (("--set", "train.epochs=-1"), ("train.epochs must be > 0, got -1", "--set train.epochs=-1")),
        (("--set", "data.folder=no/such/folder"), ("no/such/folder", "llara data import")),
        (("--set", "data.candidates.num_negatives=28"), ("28 negatives are asked for", "num_negatives")),
        (("--set", "data.split.method=rows"), ("rows", "llara data import-rows")),
        (("--set", "backbone.path=./no-such-backbone"), ("'./no-such-backbone' does not exist", "backbone.path")),
        (("--set", "train.objective.name=listwise", "--set", "evaluate.scorer=listwice"), ("evaluate.scorer",)),
        (("--set", "data.split.min_history=8"), ("min_history",)),
        (("--set", "output=."), ("--set output=.", "must name a folder to make")),
        (("--set", "output=../"), ("must name a folder to make",)),
        (("--set", "evaluate.rows_limit=-5"), ("evaluate.rows_limit must be >= 1, got -5",)),
        (("--set", "train.optimizer.learning_rate=.nan"), ("learning_rate must be a number > 0, got '.nan'",)),
        (("--set", "train.optimizer.learning_rate=nan"), ("learning_rate must be a number > 0, got nan",)),
        (("--set", 'prompt.item_text="{title} ({director})"'), ("director", "year")),
        (
            ("--set", "prompt.item_text=[year]"),
            ("but not {title}", "--set prompt.item_text=[year]"),
        ),
        (("--set", "backbone.adapt.columns=[director]"), ("director", "year")),
    ],
)
def test_train_refuses_before_it_starts(world: "World", arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    message = world.llara("train", world.config("refused"), *arguments).refused()
    for part in parts:
        assert part in message
    assert not list(world.folder.glob("refused*[!l]"))


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (("tokenizer.json",), "config.json"),
        (("config.json",), "tokenizer files"),
        (("config.json", "tokenizer.json"), "*.safetensors weights"),
    ],
)
def test_incomplete_backbone_is_refused_before_anything_is_trained(
    world: "World", tmp_path: Path, files: tuple[str, ...], missing: str
) -> None:
    for name in files:
        shutil.copy(world.hybrid / "backbone" / name, tmp_path)
    message = world.llara("train", world.config("unfounded"), "--set", f"backbone.path={tmp_path}").refused()
    assert f"has no {missing}" in message
    assert "save_pretrained" in message
    assert not (world.folder / "unfounded.partial").exists()


def test_backbone_that_fails_the_self_test_is_refused_before_the_recommender_is_fitted(
    world: "World", tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, MptConfig, MptForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(world.hybrid / "backbone")
    shape = MptConfig(d_model=32, n_heads=4, n_layers=1, max_seq_len=1024, vocab_size=len(tokenizer))
    MptForCausalLM(shape).save_pretrained(tmp_path / "mpt")
    tokenizer.save_pretrained(str(tmp_path / "mpt"))
    settings = ("--set", f"backbone.path={tmp_path / 'mpt'}", "--set", "train.objective.name=answer")
    message = world.llara("train", world.config("refused"), *settings).refused()
    assert "does not pass the self-test" in message
    assert "train.objective.name: listwise" in message
    assert not list(world.folder.glob("refused*[!l]"))


def test_missing_config_and_yaml_that_is_none_are_refused(world: "World", tmp_path: Path) -> None:
    assert "See configs/" in world.llara("train", tmp_path / "none.yaml").refused()
    broken = tmp_path / "broken.yaml"
    broken.write_text("output: [")
    assert "broken.yaml is not valid YAML" in world.llara("train", broken).refused()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--user", "4711"), ("unknown user '4711'", "40 users", "--history")),
        (("--history", "101,9999"), ("9999", "item")),
        (("--history", ","), ("history is empty",)),
        (("--history", ""), ("history is empty",)),
        ((), ("either --user ID or --history",)),
        (("--user", "1", "--history", "101"), ("not both",)),
        (("--user", "1", "-k", "0"), ("-k", "greater than or equal to 1")),
        (("--user", "1", "-k", "many"), ("-k", "integer")),
        (("--history", ",".join(str(item) for item in range(101, 133))), ("nothing is left to recommend",)),
    ],
)
def test_recommend_refuses_what_it_cannot_answer(
    world: "World", arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    message = world.llara("recommend", world.hybrid, *arguments).refused()
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--part", "train"), ("--part must be test or validation", "'train'")),
        (("--scorer", "magic"), ("--scorer must be", "'magic'")),
        (("--draws", "0"), ("--draws must be at least 1", "0")),
        (("--data", "no/such/data"), ("no/such/data",)),
        (("--against", "no/such/run"), ("no/such/run is no run folder", "llara train")),
    ],
)
def test_evaluate_refuses_unknown_options(world: "World", arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    output = world.folder / "refused-evaluation"
    message = world.llara("evaluate", world.hybrid, "--output", output, *arguments).refused()
    for part in parts:
        assert part in message
    assert not output.exists()


def test_untrained_head_is_not_evaluated(world: "World", tmp_path: Path) -> None:
    run = tmp_path / "answer-only"
    shutil.copytree(world.hybrid, run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("name: sum", "name: answer"))
    world.sign(run)
    assert "needs a trained listwise head" in world.llara("evaluate", run, "--scorer", "listwise").refused()


def test_other_data_than_trained_on_is_refused(world: "World", tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text((world.folder / "log.csv").read_text() + "99,101,99\n")
    other = tmp_path / "other"
    assert world.llara("data", "import", log, other, "--items", world.folder / "items.csv").code == 0
    message = world.llara("evaluate", world.hybrid, "--data", other, "--output", tmp_path / "e").refused()
    assert "is not the data that" in message
    assert "--data" in message


def test_runs_on_other_candidates_are_not_put_side_by_side(world: "World", tmp_path: Path) -> None:
    run = tmp_path / "seeded"
    shutil.copytree(world.text_only, run)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["candidates"]["seed"] = 9
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    world.sign(run)
    message = world.llara("evaluate", world.hybrid, "--against", run, "--output", tmp_path / "e").refused()
    assert "other candidates" in message
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_folder_that_is_no_run_is_refused(world: "World", tmp_path: Path, command: str) -> None:
    arguments = ("--user", "1") if command == "recommend" else ()
    for folder in (tmp_path, tmp_path / "missing"):
        message = world.llara(command, folder, *arguments).refused()
        assert "is no run folder: it has no config.yaml" in message
        assert "llara train" in message


@pytest.mark.parametrize(
    "lost", ["llara.json", "histories.parquet", "projector.safetensors", "adapter", "recommender", "catalog.parquet"]
)
def test_incomplete_run_names_what_is_lost(world: "World", tmp_path: Path, lost: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.hybrid, run)
    shutil.rmtree(run / lost) if (run / lost).is_dir() else (run / lost).unlink()
    assert lost in world.llara("recommend", run, "--user", "1").refused()


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_damaged_manifest_is_refused(world: "World", tmp_path: Path, content: str | None) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.hybrid, run)
    (run / "manifest.json").unlink()
    if content is not None:
        (run / "manifest.json").write_text(content)
    message = world.llara("evaluate", run, "--output", tmp_path / "e").refused()
    assert "manifest.json" in message
    assert "Copy the run folder again" in message


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml", "llara.json", "backbone/model.safetensors", "backbone/tokenizer.json", "catalog.parquet",
        "adapter/adapter_model.safetensors", "projector.safetensors", "recommender/*.safetensors",
        "histories.parquet", "evaluation.json", "report.html",
    ],
)  # fmt: skip
def test_one_flipped_bit_in_any_file_is_noticed_and_named(world: "World", tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.hybrid, run)
    path = next(run.glob(name))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for command in (("recommend", run, "--user", "1"), ("evaluate", run, "--output", tmp_path / "e")):
        assert f"{path} is damaged or was changed" in world.llara(*command).refused()


def test_projector_of_another_width_names_both_widths(world: "World", tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.hybrid, run)
    shutil.rmtree(run / "recommender")
    save_recommender(SASRec(32, width=24, seed=0), run / "recommender")
    world.sign(run)
    message = world.llara("recommend", run, "--user", "1").refused()
    assert "projector takes item width 16, recommender 'sasrec' gives 24" in message
    save_file({}, run / "projector.safetensors")
    world.sign(run)
    assert "projector takes item width None" in world.llara("recommend", run, "--user", "1").refused()


@pytest.mark.parametrize(
    ("log", "parts"),
    [
        ("user_id,item,timestamp\n1,101,5\n", ("item_id", "item")),
        ("user_id,item_id,timestamp\n1,101,5\n1,102,soon\n", ("soon", "3")),
        ("user_id,item_id,timestamp\n1,999,5\n", ("999",)),
    ],
)
def test_import_names_file_and_row(dataset: "World", tmp_path: Path, log: str, parts: tuple[str, ...]) -> None:
    source = tmp_path / "bad.csv"
    source.write_text(log)
    arguments = (source, tmp_path / "made", "--items", dataset.folder / "items.csv")
    message = dataset.llara("data", "import", *arguments).refused()
    for part in ("bad.csv", *parts):
        assert part in message
    assert not (tmp_path / "made").exists()


def test_import_refuses_missing_files_and_options(dataset: "World", tmp_path: Path) -> None:
    assert "none.csv" in dataset.llara("data", "import", tmp_path / "none.csv", tmp_path / "made").refused()
    old = dataset.llara("data", "import", tmp_path / "none.csv", tmp_path / "made", "--rows")
    assert "llara data import-rows" in old.refused()
    log = dataset.folder / "log.csv"
    taken = dataset.llara("data", "import", log, dataset.data, "--items", dataset.folder / "items.csv")
    assert "exists already" in taken.refused()


def test_check_of_a_changed_dataset_exits_with_two(dataset: "World", tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(dataset.data, broken)
    (broken / "items.parquet").write_bytes(b"not parquet")
    outcome = dataset.llara("data", "check", broken, "--json")
    assert outcome.code == 2
    assert json.loads(outcome.out)["ok"] is False
    shown = dataset.llara("data", "check", broken)
    assert (shown.code, "items.parquet" in shown.out) == (2, True)


def test_refusal_with_json_is_one_object_too(world: "World") -> None:
    outcome = world.llara("recommend", world.hybrid, "--user", "4711", "--json")
    assert "unknown user" in outcome.refused()
    assert json.loads(outcome.out)["error"]["type"] == "DataError"
    assert "unknown user '4711'" in json.loads(outcome.out)["error"]["message"]
