"""Pickled frames: numbers, texts and lists come out, and no program runs."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from llara.data.sources.unpickling import read_pickled_frame
from llara.errors import DataError


class Runs:
    """Unpickling this with the standard library writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_a_program_is_refused_by_name_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "evil.df"
    path.write_bytes(pickle.dumps(Runs(mark)))
    with pytest.raises(DataError, match=r"evil.df asks for (posix|nt)\.system, .* Nothing of it was run"):
        read_pickled_frame(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the pickle of this test must be one that would have run"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("pandas.io.pickle", "read_pickle"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("pandas.core.frame", "DataFrame.to_pickle"),
    ],
)
def test_any_other_name_is_refused(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(b"\x80\x04" + b"".join(_short(text) for text in (module, name)) + b"\x93.")
    with pytest.raises(DataError, match=rf"x.df asks for {module}.{name}, which is no array type"):
        read_pickled_frame(path)


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a pickle", "is not a readable pickle"),
        (b"", "is not a readable pickle"),
        (pickle.dumps([1, 2]), "holds list, expected a pandas DataFrame"),
        (pickle.dumps(np.arange(3)), "holds ndarray, expected a pandas DataFrame"),
        (b"\x80\x04\x8c\x01aQ.", "refers to something outside of itself"),
    ],
)
def test_what_is_no_frame_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_pickled_frame(path)


def test_objects_hidden_in_numbers_or_kinds_of_arrays_are_refused(tmp_path: Path) -> None:
    scalar = b"\x80\x04" + _short("numpy.core.multiarray") + _short("scalar") + b"\x93"
    dtype = _short("numpy") + _short("dtype") + b"\x93" + _short("O8") + b"\x89\x88\x87R"
    path = tmp_path / "x.df"
    path.write_bytes(scalar + dtype + b"C\x01a\x86R.")
    with pytest.raises(DataError, match="only plain numbers are read"):
        read_pickled_frame(path)
    rebuild = b"\x80\x04" + _short("numpy.core.multiarray") + _short("_reconstruct") + b"\x93"
    path.write_bytes(rebuild + _short("numpy") + _short("dtype") + b"\x93K\x00\x85C\x01b\x87R.")
    with pytest.raises(DataError, match="only plain arrays are read"):
        read_pickled_frame(path)


def test_bytes_of_old_pickles_are_latin1_and_nothing_else(tmp_path: Path) -> None:
    """Protocol 2 writes bytes as `_codecs.encode(text, "latin1")`."""
    path = tmp_path / "x.df"
    path.write_bytes(pickle.dumps(b"\xff", protocol=2))
    with pytest.raises(DataError, match="holds bytes, expected a pandas DataFrame"):
        read_pickled_frame(path)
    path.write_bytes(pickle.dumps(b"\xff", protocol=2).replace(b"latin1", b"utf_16"))
    with pytest.raises(DataError, match="pickled bytes are encoded as 'utf_16'"):
        read_pickled_frame(path)


def test_a_frame_without_a_table_is_told(tmp_path: Path) -> None:
    frame = b"\x80\x04" + _short("pandas.core.frame") + _short("DataFrame") + b"\x93)\x81}" + _short("_mgr")
    path = tmp_path / "x.df"
    path.write_bytes(frame + b"K\x01sb.")
    with pytest.raises(DataError, match="was written by a pandas of another time"):
        read_pickled_frame(path)


def test_a_cut_pickle_of_the_release_is_told(real_data: Path, tmp_path: Path) -> None:
    whole = (real_data / "raw" / "llara-release" / "lastfm" / "Test_data.df").read_bytes()
    path = tmp_path / "cut.df"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.df is not a readable pickle"):
        read_pickled_frame(path)


def test_the_release_reads_as_its_tidy_copy(real_data: Path) -> None:
    raw = real_data / "raw" / "llara-release"
    tidy = pl.read_parquet(real_data / "lastfm" / "rows.parquet")
    for name, split, count in (("train_data", "train", 50_800), ("Val_data", "val", 122), ("Test_data", "test", 122)):
        frame = read_pickled_frame(raw / "lastfm" / f"{name}.df")
        assert len(frame) == count
        assert frame.equals(tidy.filter(split=split).select(frame.columns))
    assert read_pickled_frame(raw / "steam" / "train_data.df1000").columns == ["seq", "next", "len_seq"]
