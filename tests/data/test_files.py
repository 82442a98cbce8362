"""Nothing is lost while writing: full disk, interrupt, error."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from llara.data import new_folder, sha256_of, write_atomically, write_parquet
from llara.data.files import remove_own, swap_in, unused_name
from llara.errors import ConfigError, DataError

MARKER = ".made-by-llara"
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
    with new_folder(path, force=False, marker=MARKER) as partial:
        (partial / "file").write_text("x")
        assert not path.exists()
    assert (path / "file").read_text() == "x"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_folder_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    with new_folder(path, force=False, marker=MARKER) as partial:
        (partial / "file").write_text("first")
    with pytest.raises(ConfigError, match=r"exists already.*--force"), new_folder(path, force=False, marker=MARKER):
        pass
    with new_folder(path, force=True, marker=MARKER) as partial:
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
    with pytest.raises(ConfigError, match="is a file"), new_folder(tmp_path / "file", force=True, marker=MARKER):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_keeps_the_old_folder(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "file").write_text("old")
    (path / MARKER).touch()

    def fill(partial: Path) -> None:
        (partial / "file").write_text("new")
        raise error

    with pytest.raises(error), new_folder(path, force=True, marker=MARKER) as partial:
        fill(partial)
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "file").write_text("old")
    (path / MARKER).touch()
    with (
        full_disk(),
        pytest.raises(DataError, match="cannot write"),
        new_folder(path, force=True, marker=MARKER) as partial,
    ):
        write_parquet(BIG, partial / "table.parquet")
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_about_another_file_passes_through(tmp_path: Path) -> None:
    """A missing input is not reported as an output that cannot be written."""
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "run", force=False, marker=MARKER):
        (tmp_path / "input").read_text()
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "out", lambda _: (tmp_path / "input").unlink())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(DataError, match="cannot write"),
        new_folder(tmp_path / "file" / "run", force=False, marker=MARKER),
    ):
        pass


def test_what_this_program_made_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "file").write_text("x")
    (ours / MARKER).touch()
    remove_own(ours, marker=MARKER)
    with pytest.raises(ConfigError, match=rf"theirs holds no {MARKER}: it was not made by llara"):
        remove_own(theirs, marker=MARKER)
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(ConfigError, match="is not removed"):
        remove_own(tmp_path / "plain", marker=MARKER)
    remove_own(tmp_path / "never-there", marker=MARKER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "theirs"]
    assert (theirs / "file").read_text() == "x"


def test_removing_a_link_leaves_the_folder_that_it_points_to(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    (real / MARKER).write_text("x")
    link.symlink_to(real, target_is_directory=True)
    remove_own(link, marker=MARKER)
    assert (real / MARKER).read_text() == "x"
    assert list(tmp_path.iterdir()) == [real]


def test_a_folder_that_appears_meanwhile_is_not_swapped_away(tmp_path: Path) -> None:
    made, path = tmp_path / "made", tmp_path / "run"
    made.mkdir()
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="will not replace it"):
        swap_in(made, path, marker=MARKER)
    assert (path / "thesis.txt").read_text() == "years of work"
    assert made.is_dir()


def test_names_to_step_aside_to_collide_with_nothing(tmp_path: Path) -> None:
    names = {unused_name(tmp_path / "run") for _ in range(50)}
    assert len(names) == 50
    assert all(name.parent == tmp_path and name.name.startswith(".run.") for name in names)
