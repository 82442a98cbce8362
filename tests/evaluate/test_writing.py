from pathlib import Path

import pytest

from llara.errors import DataError
from llara.evaluate.writing import replace_file


def test_a_file_is_replaced_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    replace_file(path, lambda target: target.write_text("one"))
    replace_file(path, lambda target: target.write_text("two"))
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("earlier")

    def write_half(target: Path) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"b\.txt: could not be written \(No space left on device\)"):
        replace_file(path, write_half)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("earlier")

    def interrupt(target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, interrupt)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]
