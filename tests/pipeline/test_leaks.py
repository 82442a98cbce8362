"""Leaks through the command line: `data check` shows them, training and evaluation refuse them, results name them."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
import yaml

from llara.data import load_dataset, split_dataset
from llara.evaluate import build_task
from llara.run.config import load_config
from llara.run.leaks import accept_data, columns_read
from tests.recommender.tiny_encoder import encoder_folder

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

CHECKS = {
    "duplicate-titles", "item-order", "shared-users", "own-future", "future-training", "near-duplicate-rows",
    "target-in-history", "metadata", "touched-candidates", "target-position",
}  # fmt: skip


@pytest.fixture(scope="module")
def sorted_data(dataset: "World", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's log with every history sorted by item, as in the released LastFM rows."""
    folder = tmp_path_factory.mktemp("sorted")
    log = pl.read_csv(dataset.folder / "log.csv").sort("user_id", "item_id")
    log.with_columns(timestamp=1_000_000 + pl.int_range(pl.len())).write_csv(folder / "log.csv")
    items = dataset.folder / "items.csv"
    assert dataset.llara("data", "import", folder / "log.csv", folder / "data", "--items", items).code == 0
    return folder / "data"


@pytest.fixture(scope="module")
def leaking_run(dataset: "World", sorted_data: Path) -> tuple[Path, str, str]:
    """A run whose config allows the leak, with what it wrote on stdout and stderr."""
    allowed = ("--set", f"data.folder={sorted_data}", "--set", "data.allow_leaks=[item-order]")
    done = dataset.llara("train", dataset.config("leaking"), *allowed)
    assert done.code == 0, done.err
    return dataset.folder / "leaking", done.out, done.err


def test_check_shows_every_check_of_a_clean_set(dataset: "World") -> None:
    shown = dataset.llara("data", "check", dataset.data, "--candidates", "4")
    assert shown.code == 0
    assert "no leak found, split by users, by " in shown.out
    for name in CHECKS:
        assert name in shown.out
    assert "0 errors, 1 warning, 0 leaks: can be used\n" in shown.out
    found = dataset.llara("data", "check", dataset.data, "--candidates", "4", "--json").json()
    assert (found["ok"], found["leaks"], found["split"]) == (True, 0, "users")
    assert {finding["name"] for finding in found["leakage"]} == CHECKS
    assert {finding["level"] for finding in found["leakage"]} == {"ok"}
    assert (
        next(finding for finding in found["leakage"] if finding["name"] == "near-duplicate-rows")["numbers"]["rows"]
        == 4
    )


def levels(world: "World", folder: Path, *options: str) -> dict[str, str]:
    found = world.llara("data", "check", folder, *options, "--json").json()
    return {finding["name"]: finding["level"] for finding in found["leakage"]}


def test_options_choose_what_is_checked(dataset: "World") -> None:
    few = ("--candidates", "4", "--split", "leave-one-out")
    assert levels(dataset, dataset.data, *few)["touched-candidates"] == "ok"
    short = ("--history-length", "3", "--min-history", "2")
    assert levels(dataset, dataset.data, *few, *short)["touched-candidates"] == "note"
    assert levels(dataset, dataset.data, *few, *short, "--exclude", "touched")["touched-candidates"] == "ok"


def test_too_few_items_or_users_are_a_warning(dataset: "World", tmp_path: Path) -> None:
    found = dataset.llara("data", "check", dataset.data, "--candidates", "31", "--json").json()
    assert "leaks of candidate sets are not known: " in found["findings"][-1]["message"]
    assert {finding["name"] for finding in found["leakage"]} == CHECKS - {"touched-candidates", "target-position"}
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n1,101,5\n2,102,6\n")
    items = dataset.folder / "items.csv"
    assert dataset.llara("data", "import", tmp_path / "log.csv", tmp_path / "data", "--items", items).code == 0
    found = dataset.llara("data", "check", tmp_path / "data", "--json").json()
    assert "leaks of the 'users' split are not known: " in found["findings"][-1]["message"]
    assert {finding["name"] for finding in found["leakage"]} == {"duplicate-titles", "item-order"}
    assert dataset.llara("data", "check", tmp_path / "data").code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--split", "user"), ("--split must be one of users, leave-one-out, time, rows", "'user'")),
        (("--exclude", "seen"), ("--exclude must be one of visible, touched", "'seen'")),
        (("--history-length", "2"), ("min_history must be in [0, history_length = 2], got 3",)),
        (("--split", "rows"), ("needs released rows", "llara data import-rows")),
        (("--candidates", "0"), ("--candidates", "greater than or equal to 1")),
    ],
)
def test_check_refuses_options_that_it_does_not_know(
    dataset: "World", arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    message = dataset.llara("data", "check", dataset.data, *arguments).refused()
    for part in parts:
        assert part in message


def test_check_announces_that_a_leak_will_be_refused(dataset: "World", sorted_data: Path) -> None:
    shown = dataset.llara("data", "check", sorted_data)
    assert shown.code == 0
    assert "1 leak: `llara train` and `llara evaluate` will refuse this set unless told otherwise" in shown.out
    assert levels(dataset, sorted_data)["item-order"] == "leak"
    assert dataset.llara("data", "check", sorted_data, "--strict").code == 2
    assert dataset.llara("data", "check", dataset.data, "--strict").code == 0


def test_training_refuses_a_leak_before_it_starts(dataset: "World", sorted_data: Path) -> None:
    message = dataset.llara("train", dataset.config("refused-leak"), "--set", f"data.folder={sorted_data}").refused()
    for part in (
        "data set 'data' leaks",
        "[item-order] 280 of 280 (100 %) neighboring interactions of a user follow the order of",
        "Import the log with real times",
        "--set 'data.allow_leaks=[item-order]'",
        "--allow-leak item-order",
    ):
        assert part in message
    assert not list(dataset.folder.glob("refused-leak*[!l]"))


def test_another_allowed_leak_does_not_help(dataset: "World", sorted_data: Path) -> None:
    other = ("--set", f"data.folder={sorted_data}", "--set", "data.allow_leaks=[metadata]")
    message = dataset.llara("train", dataset.config("refused-leak"), *other).refused()
    assert "--set 'data.allow_leaks=[item-order, metadata]'" in message


def test_unknown_leaks_cannot_be_allowed(dataset: "World", sorted_data: Path) -> None:
    misspelled = ("--set", "data.allow_leaks=[item-ordr]")
    assert "Did you mean 'item-order'?" in dataset.llara("train", dataset.config("refused-leak"), *misspelled).refused()


def test_an_allowed_leak_stands_beside_every_number(leaking_run: tuple[Path, str, str]) -> None:
    run, out, err = leaking_run
    table, shown = out.split("known leak in this data set")
    assert "HR@1" in table
    assert "item-order: 280 of 280 (100 %)" in shown
    assert "known leak item-order" in " ".join(err.split())
    manifest = json.loads((run / "manifest.json").read_text())
    assert [leak["name"] for leak in manifest["known_leaks"]] == ["item-order"]
    for name in ("evaluation.json", "generation.json"):
        assert [leak["name"] for leak in json.loads((run / name).read_text())["summary"]["known_leaks"]] == [
            "item-order"
        ]
    report = (run / "report.html").read_text()
    assert "Known leaks in this data set." in report
    assert report.index("Known leaks in this data set.") < report.index('id="results"')
    assert report.count("280 of 280 (100 %) neighboring interactions") == 2
    for name in CHECKS:
        assert f'<th scope="row">{name}</th>' in report


def test_clean_data_leaves_no_warning_in_results(world: "World") -> None:
    assert json.loads((world.hybrid / "manifest.json").read_text())["known_leaks"] == []
    report = (world.hybrid / "report.html").read_text()
    assert "Known leaks" not in report
    assert "Leak checks" in report


def test_a_run_that_allows_its_leak_can_be_evaluated(
    dataset: "World", leaking_run: tuple[Path, str, str], tmp_path: Path
) -> None:
    options = ("--scorer", "auto", "--output", tmp_path / "again", "--json")
    found = dataset.llara("evaluate", leaking_run[0], *options).json()
    assert [leak["name"] for leak in found["evaluation"]["known_leaks"]] == ["item-order"]


def test_evaluation_refuses_a_leak_unless_it_is_allowed(
    dataset: "World", leaking_run: tuple[Path, str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(leaking_run[0], run)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["allow_leaks"] = []
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    dataset.sign(run)
    options = ("--scorer", "auto", "--output", tmp_path / "e")
    message = dataset.llara("evaluate", run, *options).refused()
    assert "[item-order]" in message
    assert "--allow-leak item-order" in message
    assert not (tmp_path / "e").exists()
    wrong = dataset.llara("evaluate", run, *options, "--allow-leak", "order")
    assert "--allow-leak: no check named 'order' can find a leak" in wrong.refused()
    shown = dataset.llara("evaluate", run, *options, "--allow-leak", "item-order")
    assert shown.code == 0, shown.err
    assert "known leak in this data set" in shown.out
    saved = json.loads((tmp_path / "e" / "evaluation.json").read_text())["summary"]
    assert [leak["name"] for leak in saved["known_leaks"]] == ["item-order"]
    assert "Known leaks in this data set." in (tmp_path / "e" / "report.html").read_text()


@pytest.fixture
def counted(dataset: "World", tmp_path: Path) -> Path:
    """The tiny world with a `dataset.json` that says: the year was counted from user 40, who is a test user."""
    folder = tmp_path / "data"
    shutil.copytree(dataset.data, folder)
    info = json.loads((folder / "dataset.json").read_text())
    info["origin"]["metadata_users"] = {"columns": ["year"], "users": [40]}
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


@pytest.mark.parametrize(
    "setting",
    [
        'prompt.item_text="{title} ({year})"',
        'recommender.text={encoder: ENCODER, item_text: "{title} ({year})"}',
        "backbone.adapt.steps=1",
        "backbone.adapt={steps: 1, columns: [year]}",
    ],
)
def test_a_leaking_column_is_refused_where_the_model_reads_it(
    dataset: "World", counted: Path, setting: str, tmp_path: Path
) -> None:
    if "ENCODER" in setting:
        setting = setting.replace("ENCODER", str(encoder_folder(tmp_path / "encoder")))
    assert levels(dataset, counted)["metadata"] == "leak"
    folder = ("--set", f"data.folder={counted}")
    message = dataset.llara("train", dataset.config("refused-leak"), *folder, "--set", setting).refused()
    assert "[metadata] 'year': counted from the interactions of 1 users" in message


@pytest.mark.parametrize("columns", ["[]", "[year]"])
def test_a_leaking_column_that_is_not_read_is_accepted(dataset: "World", counted: Path, columns: str) -> None:
    config = load_config(
        dataset.config("accepted"), [f"data.folder={counted}", f"backbone.adapt={{steps: 0, columns: {columns}}}"]
    )
    data = load_dataset(counted)
    split = split_dataset(data, config.data.split)
    task = build_task(data, split, "test", config.data.candidates, draws=2)
    assert columns_read(config, data.catalog) == frozenset()
    assert {finding.level for finding in accept_data(config, data, split, task)} == {"ok"}
