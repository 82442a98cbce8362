"""Hashes of a run's files, and the commit that it names."""

import json
import subprocess
from pathlib import Path

import pytest

from llara.errors import CheckpointError
from llara.run.integrity import MANIFEST_FILE, check_files, commit_of, record_files, replace_text


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "adapter").mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(json.dumps({"seed": 1}))
    (folder / "adapter" / "weights.safetensors").write_bytes(bytes(range(256)) * 9)
    (folder / "config.yaml").write_text("output: x\n")
    (folder / ".llara-run").write_text("{}")
    record_files(folder)
    return folder


def _check(folder: Path) -> None:
    check_files(folder, json.loads((folder / MANIFEST_FILE).read_text()).get("files"))


def test_an_untouched_run_passes_also_with_files_that_came_later(run: Path) -> None:
    (run / "evaluations").mkdir()
    (run / "evaluations" / "report.html").write_text("later")
    (run / ".llara-run").write_text("another owner")
    _check(run)
    content = json.loads((run / MANIFEST_FILE).read_text())
    assert set(content["files"]) == {"adapter/weights.safetensors", "config.yaml"}
    assert content["seed"] == 1


@pytest.mark.parametrize("name", ["adapter/weights.safetensors", "config.yaml"])
@pytest.mark.parametrize("harm", ["flipped", "truncated", "longer", "missing"])
def test_a_harmed_file_is_named(run: Path, name: str, harm: str) -> None:
    content = (run / name).read_bytes()
    flipped = bytes([content[0] ^ 1]) + content[1:]
    harmed = {"flipped": flipped, "truncated": content[:-1], "longer": content + b"\n"}
    if harm == "missing":
        (run / name).unlink()
    else:
        (run / name).write_bytes(harmed[harm])
    with pytest.raises(CheckpointError, match=f"{name} is (missing|damaged).*Copy the run folder again"):
        _check(run)


def test_a_run_without_hashes_is_refused(run: Path) -> None:
    (run / MANIFEST_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="has no hashes of the run's files"):
        _check(run)


def test_a_text_is_replaced_as_a_whole(tmp_path: Path) -> None:
    replace_text(tmp_path / "a", "one")
    replace_text(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "two"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def _repository(folder: Path, source: str, *, tracked: bool) -> Path:
    """A repository of somebody's with a source file of llara somewhere in it."""
    path = folder / source
    path.parent.mkdir(parents=True)
    path.write_text("code")
    (folder / "own.txt").write_text("x")
    _git(folder, "init", "-q")
    _git(folder, "add", "own.txt", *([source] if tracked else []))
    _git(folder, "commit", "-qm", "x")
    return path


@pytest.mark.parametrize(
    ("source", "tracked"),
    [(".venv/lib/site-packages/llara/run/folder.py", False), ("vendor/llara/run/folder.py", True)],
)
def test_the_commit_of_a_users_repository_is_not_ours(tmp_path: Path, source: str, tracked: bool) -> None:
    assert commit_of(_repository(tmp_path, source, tracked=tracked)) is None


def test_the_commit_of_our_own_repository_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _repository(tmp_path / "ours", "src/llara/run/folder.py", tracked=True)
    other = _repository(tmp_path / "theirs", "x/folder.py", tracked=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))  # as inside of a git hook
    assert commit_of(other) is None
    monkeypatch.delenv("GIT_DIR")
    head = _git(tmp_path / "ours", "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))
    assert commit_of(path) == head


def test_outside_of_any_repository_there_is_no_commit(tmp_path: Path) -> None:
    (tmp_path / "folder.py").write_text("code")
    assert commit_of(tmp_path / "folder.py") is None
