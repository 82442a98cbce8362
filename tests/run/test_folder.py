"""Claiming a run's folder: nothing of the user's is deleted, and one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llara.errors import CheckpointError, ConfigError
from llara.run.folder import RUN_MARKER, open_run
from llara.run.lock import hold, write_owner

HOLDER = """
import sys
from llara.run.folder import open_run
with open_run(sys.argv[1], resume=False, force=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def _precious(folder: Path) -> Path:
    """A folder of the user's, which looks a little like ours."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("mine: true")
    (folder / "thesis.txt").write_text("years of work")
    return folder / "thesis.txt"


def _finish(output: Path, content: str) -> None:
    with open_run(str(output), resume=False, force=True) as run:
        (run.partial / "content").write_text(content)
        (run.partial / "manifest.json").write_text('{"data": {}, "fingerprint": ""}')
        run.finish()


@pytest.mark.parametrize("name", ["run.old", "run.partial.old", ".run.old", "run-old"])
def test_replacing_a_run_leaves_everything_beside_it(tmp_path: Path, name: str) -> None:
    _finish(tmp_path / "run", "first")
    thesis = _precious(tmp_path / name)
    _finish(tmp_path / "run", "second")
    assert (tmp_path / "run" / "content").read_text() == "second"
    assert thesis.read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["run", name])


@pytest.mark.parametrize("name", ["run", "run.partial"])
@pytest.mark.parametrize("force", [True, False])
def test_a_folder_of_the_users_is_never_replaced(tmp_path: Path, name: str, force: bool) -> None:
    thesis = _precious(tmp_path / name)
    with pytest.raises(ConfigError), open_run(str(tmp_path / "run"), resume=False, force=force):
        pass
    assert thesis.read_text() == "years of work"
    with (
        pytest.raises(CheckpointError, match="no interrupted run"),
        open_run(str(tmp_path / "run"), resume=True, force=force),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_appears_while_a_run_is_made_is_not_replaced(tmp_path: Path) -> None:
    with open_run(str(tmp_path / "run"), resume=False, force=True) as run:
        thesis = _precious(tmp_path / "run")
        (run.partial / "manifest.json").write_text('{"data": {}, "fingerprint": ""}')
        with pytest.raises(ConfigError, match="will not replace it"):
            run.finish()
    assert thesis.read_text() == "years of work"
    assert run.partial.is_dir()


def test_an_interrupted_run_is_resumed_or_started_over(tmp_path: Path) -> None:
    with open_run(str(tmp_path / "run"), resume=False, force=False) as run:
        (run.partial / "half").touch()
    with (
        pytest.raises(ConfigError, match="--resume, or start over with --force"),
        open_run(str(tmp_path / "run"), resume=False, force=False),
    ):
        pass
    with open_run(str(tmp_path / "run"), resume=True, force=False) as run:
        assert (run.partial / "half").exists()
    with open_run(str(tmp_path / "run"), resume=False, force=True) as run:
        assert not (run.partial / "half").exists()


@pytest.mark.parametrize(("resume", "force"), [(False, False), (True, False), (False, True)])
def test_who_comes_second_is_told_who_is_at_the_run_and_harms_nothing(
    tmp_path: Path, resume: bool, force: bool
) -> None:
    with open_run(str(tmp_path / "run"), resume=False, force=False) as run:
        (run.partial / "half").touch()
        with (
            pytest.raises(ConfigError, match=rf"a run is in progress at .*run: process {os.getpid()} on .* since 2"),
            open_run(str(tmp_path / "run"), resume=resume, force=force),
        ):
            pass
        assert (run.partial / "half").exists()
    with open_run(str(tmp_path / "run"), resume=True, force=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]


def test_another_process_is_named_while_it_lives_and_taken_over_once_it_is_dead(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(ConfigError, match=f"process {other.pid} on"),
            open_run(str(tmp_path / "run"), resume=True, force=False),
        ):
            pass
        other.kill()
    with open_run(str(tmp_path / "run"), resume=True, force=False) as run:
        assert json.loads((run.partial / RUN_MARKER).read_text())["process"] == os.getpid()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ConfigError, match=r"cannot create .*run\.partial"),
        open_run(str(tmp_path / "file" / "run"), resume=False, force=False),
    ):
        pass


def test_a_quickstart_is_not_started_where_one_is_at_work(tmp_path: Path) -> None:
    from llara.run.quickstart import QUICKSTART_MARKER, run_quickstart

    folder = tmp_path / "quick"
    folder.mkdir()
    write_owner(folder / QUICKSTART_MARKER)
    with (
        hold(folder, owner_file=folder / QUICKSTART_MARKER),
        pytest.raises(ConfigError, match=rf"in progress at .*quick: process {os.getpid()} on"),
    ):
        run_quickstart(folder, seed=0, force=True)
    assert [path.name for path in folder.iterdir()] == [QUICKSTART_MARKER]


@pytest.mark.parametrize("name", ["notes.txt", "data/interactions.parquet", "backbone/mine.safetensors"])
def test_a_run_that_holds_something_of_the_users_is_not_replaced(tmp_path: Path, name: str) -> None:
    _finish(tmp_path / "run", "first")
    mine = tmp_path / "run" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    with (
        pytest.raises(ConfigError, match=rf"such as {name}, and --force would delete"),
        open_run(str(tmp_path / "run"), resume=False, force=True),
    ):
        pass
    assert mine.read_text() == "years of work"
    mine.unlink()
    _finish(tmp_path / "run", "second")
    assert (tmp_path / "run" / "content").read_text() == "second"
