import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llara.run.config import load_config
from llara.train import read_metrics
from tests.pipeline.conftest import ctrl_c_when

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

_LONGER = (
    "train.epochs=2", "train.validations=5", "practice.steps=4", "part_vectors=true", "recommender_prior=true",
    "prior_folds=2",
)  # fmt: skip
LONGER = tuple(word for setting in _LONGER for word in ("--set", setting))


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk does to a program, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _wait_for_training(partial: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until there is a checkpoint, and until the run has noted how long it has trained."""
    deadline = time.monotonic() + 120
    while "training" not in _seconds(partial) or not (partial / "checkpoints" / "last" / "state.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _seconds(partial: Path) -> dict[str, float]:
    try:
        return dict(json.loads((partial / "manifest.json").read_text())["seconds"])
    except (OSError, ValueError, KeyError):
        return {}


def _losses(folder: Path) -> list[tuple[float, float | None]]:
    return [(record["loss"], record.get("validation_hit_ratio")) for record in read_metrics(folder)]


def test_killed_run_is_no_run_and_resumes_to_what_an_uninterrupted_one_gives(world: "World") -> None:
    config, final = world.config("killed"), world.folder / "killed"
    partial = final.with_name("killed.partial")
    command = [str(Path(sys.executable).with_name("llara")), "train", str(config), *LONGER]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for_training(partial, process)
    process.send_signal(signal.SIGSTOP)  # however slow this test is, the run is in its middle
    try:
        for flags in ((), ("--resume",), ("--force",)):
            second = world.llara("train", config, *LONGER, *flags).refused()
            assert f"a run is in progress at {final}: process {process.pid} on" in second
        assert process.poll() is None, "the second command harmed the first"
    finally:
        process.kill()
        process.wait()
    assert not final.exists()
    spent = json.loads((partial / "manifest.json").read_text())["seconds"]
    assert spent["training"] > 0
    assert "is no run folder" in world.llara("recommend", final, "--user", "1").refused()
    assert "interrupted run is at" in world.llara("train", config, *LONGER).refused()
    other = world.llara("train", config, *LONGER, "--resume", "--set", "seed=1").refused()
    assert "other settings or data" in other

    resumed = world.llara("train", config, *LONGER, "--resume", "--json").json()
    whole = world.llara("train", config, *LONGER, "--set", f"output={world.folder / 'whole'}", "--json").json()
    assert 0 < len(_losses(final)) == len(_losses(world.folder / "whole"))
    assert _losses(final) == _losses(world.folder / "whole")
    for name in ("best_step", "best_validation_hit_ratio"):
        assert resumed[name] == whole[name]
    hits = [[model["hits"] for model in run["evaluation"]["models"]] for run in (resumed, whole)]
    assert hits[0] == hits[1]
    assert not partial.exists()
    together = json.loads((final / "manifest.json").read_text())["seconds"]
    assert together == resumed["seconds"]
    assert together["training"] > spent["training"]
    assert together["practice"] == spent["practice"]  # done by the first attempt alone


@pytest.mark.usefixtures("interruptible")
def test_interrupt_leaves_a_partial_run_and_says_how_to_go_on(world: "World") -> None:
    config = world.config("stopped")
    partial = world.folder / "stopped.partial"

    with ctrl_c_when(partial / "checkpoints" / "last" / "state.json"):
        outcome = world.llara("train", config, *LONGER)
    assert outcome.code == 130
    assert "--resume" in outcome.err
    assert "Traceback" not in outcome.err
    assert partial.is_dir()
    assert not (world.folder / "stopped").exists()
    assert world.llara("train", config, "--force").code == 0
    assert not partial.exists()


def test_existing_run_is_refused_and_untouched(world: "World") -> None:
    before = world.contents(world.hybrid)
    message = world.llara("train", world.config("hybrid")).refused()
    assert "exists already" in message
    assert "--force" in message
    assert "It is finished already" in world.llara("train", world.config("hybrid"), "--resume").refused()
    assert world.contents(world.hybrid) == before


def test_nothing_to_resume_is_refused(world: "World") -> None:
    message = world.llara("train", world.config("never-started"), "--resume").refused()
    assert "no interrupted run at" in message
    assert "Start without --resume" in message
    assert not (world.folder / "never-started.partial").exists()


def test_force_replaces_a_run_as_a_whole(world: "World") -> None:
    replaced = world.folder / "replaced"
    shutil.copytree(world.text_only, replaced)
    (replaced / "mine.txt").write_text("years of work")
    message = world.llara("train", world.config("replaced"), "--force").refused()
    assert "holds files that its run did not leave, such as mine.txt" in message
    (replaced / "mine.txt").rename(world.folder / "mine.txt")
    (replaced / "evaluations").mkdir()
    (replaced / "evaluations" / "left-over.txt").write_text("of ours")
    assert world.llara("train", world.config("replaced"), "--force").code == 0
    assert load_config(replaced / "config.yaml").train.curriculum.kind == "paper"
    assert not (replaced / "evaluations").exists()
    assert not list(world.folder.glob("replaced.*[!l]"))


def test_force_replaces_nothing_that_is_no_run(world: "World") -> None:
    precious = world.folder / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    assert "is no run folder" in world.llara("train", world.config("precious"), "--force").refused()
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_force_deletes_nothing_beside_the_run(world: "World") -> None:
    shutil.copytree(world.text_only, world.folder / "kept")
    for name in ("kept.old", "kept.partial.old"):
        (world.folder / name).mkdir()
        (world.folder / name / "thesis.txt").write_text("years of work")
    assert world.llara("train", world.config("kept"), "--force").code == 0
    for name in ("kept.old", "kept.partial.old"):
        assert (world.folder / name / "thesis.txt").read_text() == "years of work"


def test_an_evaluation_never_replaces_a_run(world: "World") -> None:
    before = world.contents(world.text_only)
    message = world.llara("evaluate", world.hybrid, "--output", world.text_only, "--force").refused()
    assert "--force will not replace it" in message
    assert world.contents(world.text_only) == before


@pytest.mark.parametrize("size", [500, 20_000, 60_000], ids=["settings", "recommender", "backbone"])
def test_full_disk_spares_the_earlier_run_and_resume_goes_on(world: "World", size: int) -> None:
    name = f"full-{size}"
    final = world.folder / name
    shutil.copytree(world.text_only, final)
    before, config = world.contents(final), world.config(name)
    with _largest_file(size):
        outcome = world.llara("train", config, "--force", "--json")
    message = outcome.refused()
    assert "cannot write" in message
    assert "--resume" in message
    assert json.loads(outcome.out)["error"]["type"] == "DataError"
    assert world.contents(final) == before
    assert world.llara("train", config, "--resume").code == 0
    assert load_config(final / "config.yaml").train.curriculum.kind == "paper"
    assert _losses(final) == _losses(world.hybrid)


def test_a_run_that_stopped_before_its_first_checkpoint_is_resumed(world: "World") -> None:
    """Adam's moments are twice the weights: everything is written but the first checkpoint."""
    name, tuned = "no-checkpoint", ("--set", "backbone.tuning=full")
    final, config = world.folder / name, world.config(name)
    partial = final.with_name(f"{name}.partial")
    largest = max(path.stat().st_size for path in world.hybrid.rglob("*") if path.is_file())
    for flags in ((), ("--resume",)):  # the advice holds however often the disk is full
        with _largest_file(largest + 20_000):
            message = world.llara("train", config, *tuned, *flags).refused()
        assert "cannot write" in message
        assert "with --resume" in message
        assert (partial / "checkpoints").is_dir()
        assert not list(partial.glob("checkpoints/*/state.json"))
        assert "--resume" in world.llara("train", config, *tuned).refused()
    assert world.llara("train", config, *tuned, "--resume").code == 0
    assert final.is_dir()
    assert not partial.exists()


def test_full_disk_spares_the_earlier_dataset_and_evaluation(world: "World") -> None:
    log, items = world.folder / "log.csv", world.folder / "items.csv"
    data, evaluation = world.folder / "kept-data", world.folder / "kept-evaluation"
    shutil.copytree(world.data, data)
    judge = ("evaluate", world.hybrid, "--output", evaluation, "--draws", "1")
    assert world.llara(*judge).code == 0
    before = world.contents(data), world.contents(evaluation)
    with _largest_file(300):
        imported = world.llara("data", "import", log, data, "--items", items, "--force")
    with _largest_file(20_000):
        evaluated = world.llara(*judge, "--force")
    for outcome in (imported, evaluated):
        assert "cannot write" in outcome.refused()
        assert "untouched" in outcome.refused()
    assert (world.contents(data), world.contents(evaluation)) == before
    assert not [path for path in world.folder.iterdir() if path.name.startswith(".kept")]
