import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from llara.errors import LlaraError
from llara.ingest.sample import make_sample
from llara.run.config import RunConfig, override_config
from llara.run.quickstart import quickstart_config
from llara.run.side_by_side import train_both
from llara.run.start import make_start

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

TINY = (
    "recommender.fit.epochs=1",
    "recommender.embedding_dim=16",
    "backbone.nano.hidden_size=32",
    "backbone.nano.num_layers=1",
    "prior_folds=3",
    "train.epochs=0.1",
    "train.validations=1",
    "train.batch_size=8",
    "train.micro_batch_size=8",
    "evaluate.validation_limit=20",
    "evaluate.rows_limit=40",
    "evaluate.examples=1",
    "data.candidates.draws=1",
)


@pytest.mark.slow
def test_quickstart_runs_the_whole_path_and_prints_one_json_object(dataset: "World", tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    settings = [part for setting in TINY for part in ("--set", setting)]
    found = dataset.llara("quickstart", "--output", folder, "--json", *settings).json()
    names = [model["name"] for model in found["comparison"]["models"]]
    assert names[:2] == ["popularity", "sasrec"]
    assert "text-only LLaRA (sequence)" in names
    silent = "hybrid LLaRA (sequence; its weight is 0: this is sasrec)"  # so small a head may be left no weight
    assert {"hybrid LLaRA (sequence)", silent} & set(names)
    assert found["comparison"]["ceiling"]["members"] == ["sasrec", "hybrid LLaRA (sequence without sasrec)"]
    assert "An oracle that picks the best of sasrec" in Path(found["report"]).read_text(encoding="utf-8")
    again = dataset.llara("quickstart", "--output", folder)
    assert "has a finished quickstart" in again.refused()


def quickstart(world: "World", folder: Path, *options: str) -> Any:
    settings = [part for setting in TINY for part in ("--set", setting)]
    return world.llara("quickstart", "--output", folder, *settings, *options)


def test_a_finished_run_is_not_replaced_by_a_quickstart_that_is_sent_there(world: "World", tmp_path: Path) -> None:
    before = world.contents(world.hybrid)
    message = quickstart(world, tmp_path / "quick", "--set", f"output={world.hybrid}").refused()
    assert f"{world.hybrid} exists already" in message
    assert world.contents(world.hybrid) == before
    assert not (tmp_path / "quick").exists()


def test_data_of_the_users_own_is_used_and_not_replaced_by_the_sample(world: "World", tmp_path: Path) -> None:
    before = world.contents(world.data)
    outcome = quickstart(world, tmp_path / "quick", "--set", f"data.folder={world.data}")
    assert world.contents(world.data) == before
    assert "the catalog has no column 'author'" in outcome.refused() or "author" in outcome.refused()
    assert "simulated readers" not in outcome.err


def test_folders_that_the_user_made_where_the_quickstart_goes_are_kept(world: "World", tmp_path: Path) -> None:
    for name in ("start", "data", "hybrid"):
        folder = tmp_path / f"with-{name}"
        (folder / name).mkdir(parents=True)
        (folder / name / "thesis.txt").write_text("years of work")
    for name in ("data", "hybrid"):
        assert name in quickstart(world, tmp_path / f"with-{name}", "--force").refused()
        assert (tmp_path / f"with-{name}" / name / "thesis.txt").read_text() == "years of work"
    # What ends it here comes after the start is made.
    quickstart(world, tmp_path / "with-start", "--set", "prior_folds=100000").refused()
    assert (tmp_path / "with-start" / "start" / "thesis.txt").read_text() == "years of work"


def test_a_backbone_that_cannot_be_one_is_refused_before_anything_is_made(
    world: "World", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "quick"
    assert "text encoder, not a language model" in quickstart(world, folder, "--backbone", "minilm-l6").refused()
    assert "does not exist" in quickstart(world, folder, "--backbone", "./nowhere").refused()
    asked = quickstart(world, folder, "--backbone", "smollm2-135m", "--json").refused()
    assert "--accept-license" in asked
    assert not (folder / "hybrid").exists()


def test_two_runs_are_not_sent_to_one_folder(world: "World", tmp_path: Path) -> None:
    message = quickstart(world, tmp_path / "quick", "--set", f"output={tmp_path / 'quick' / 'text-only'}").refused()
    assert "where the text-only run goes" in message


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    """A tiny quickstart's settings, its data and its start."""
    folder = tmp_path_factory.mktemp("both")
    config = override_config(quickstart_config(folder, seed=0), TINY)
    make_sample(Path(config.data.folder), seed=0)
    with threads(1):
        make_start(config, folder / "start")
    return config, folder / "start"


def test_a_start_made_at_once_is_the_one_made_one_after_the_other(
    prepared: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    config, alone = prepared
    with threads(2):
        seconds = make_start(config, tmp_path / "start")
    assert set(seconds) == {"recommender", "prior folds", "backbone"}
    assert_same_weights(tmp_path / "start", alone)


def test_recommenders_are_fitted_elsewhere_while_the_backbone_practises(
    prepared: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    practising = override_config(
        prepared[0], ["train.objective.name=listwise", "practice.steps=4", "prior_folds=2", "backbone.adapt.steps=2"]
    )
    with threads(1):
        make_start(practising, tmp_path / "alone")
    with threads(2):
        seconds = make_start(practising, tmp_path / "start")
    assert set(seconds) == {"recommender", "prior folds", "backbone", "practice"}
    assert_same_weights(tmp_path / "start", tmp_path / "alone")


def assert_same_weights(folder: Path, other: Path) -> None:
    made = {path.relative_to(folder) for path in folder.rglob("*.safetensors")}
    assert made == {path.relative_to(other) for path in other.rglob("*.safetensors")}
    assert Path("folds/0/recommender.safetensors") in made
    for path in made:
        ours, theirs = load_file(folder / path), load_file(other / path)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), path


def twin(config: RunConfig, name: str) -> RunConfig:
    return replace(config, output=str(Path(config.output).with_name(name)))


def numbers(run: Any) -> list[Any]:
    return [result.hits for result in run.evaluated.report.results]


def test_two_runs_at_once_are_the_two_runs_one_after_the_other(
    prepared: tuple[RunConfig, Path],
) -> None:
    config, start = prepared
    first = override_config(twin(config, "text"), ["train.curriculum.kind=text-only"])
    with threads(1):
        alone = train_both(first, config, start=start)
    with threads(2):
        together = train_both(twin(first, "text-2"), twin(config, "hybrid-2"), start=start)
        assert torch.get_num_threads() == 2
    assert [numbers(run) for run in together] == [numbers(run) for run in alone]
    assert all(Path(run.folder, "report.html").is_file() for run in together)
    assert not multiprocessing.active_children()


def test_what_the_other_process_is_refused_for_is_said_here(prepared: tuple[RunConfig, Path], tmp_path: Path) -> None:
    config, start = prepared
    (tmp_path / "file").write_text("in the way")
    first = replace(config, output=str(tmp_path / "file"))
    with threads(2), pytest.raises(LlaraError, match="file"):
        train_both(first, twin(config, "hybrid-3"), start=start)
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_an_error_that_says_what_to_do(prepared: tuple[RunConfig, Path]) -> None:
    config, start = prepared

    def kill() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.01)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with threads(2), pytest.raises(LlaraError, match=r"ended with code -9.* OMP_NUM_THREADS=1"):
        train_both(twin(config, "text-4"), twin(config, "hybrid-4"), start=start)
    killer.join()
