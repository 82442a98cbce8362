"""Nothing is lost while writing: full disk, interrupt, error."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from llara.data import new_folder, sha256_of, write_atomically, write_parquet
from llara.errors import ConfigError, DataError

BIG = pl.DataFrame({"number": range(200_000)})


@contextmanager
def full_disk(limit: int = 4096) -> Iterator[None]:
    """No file may grow beyond the limit: writing fails in the middle of it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.parquet"
    write_atomically(path, lambda partial: write_parquet(BIG, partial))
    assert pl.read_parquet(path).equals(BIG)
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("old")
    with full_disk(), pytest.raises(DataError, match=r"cannot write .*table.parquet: .*untouched"):
        write_atomically(path, lambda partial: write_parquet(BIG, partial))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_is_the_one_that_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_interrupt_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("old")

    def write(partial: Path) -> None:
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with new_folder(path, force=False) as partial:
        (partial / "file").write_text("x")
        assert not path.exists()
    assert (path / "file").read_text() == "x"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_folder_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    with new_folder(path, force=False) as partial:
        (partial / "file").write_text("first")
    with pytest.raises(ConfigError, match=r"exists already.*--force"), new_folder(path, force=False):
        pass
    with new_folder(path, force=True) as partial:
        (partial / "file").write_text("second")
    assert (path / "file").read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_force_replaces_only_folders_of_the_same_kind(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(ConfigError, match=r"holds no dataset.json"),
        new_folder(tmp_path / "home", force=True, marker="dataset.json"),
    ):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"), new_folder(tmp_path / "file", force=True):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_keeps_the_old_folder(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "file").write_text("old")

    def fill(partial: Path) -> None:
        (partial / "file").write_text("new")
        raise error

    with pytest.raises(error), new_folder(path, force=True) as partial:
        fill(partial)
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "file").write_text("old")
    with full_disk(), pytest.raises(DataError, match="cannot write"), new_folder(path, force=True) as partial:
        write_parquet(BIG, partial / "table.parquet")
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_about_another_file_passes_through(tmp_path: Path) -> None:
    """A missing input is not reported as an output that cannot be written."""
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "run", force=False):
        (tmp_path / "input").read_text()
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "out", lambda _: (tmp_path / "input").unlink())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot write"), new_folder(tmp_path / "file" / "run", force=False):
        pass
