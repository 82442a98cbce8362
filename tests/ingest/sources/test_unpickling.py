"""Pickled frames: numbers, texts and lists come out, and no program runs."""

import os
import pickle
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llara.errors import DataError
from llara.ingest.sources import unpickling
from llara.ingest.sources.unpickling import read_pickled_frame


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
        (pickle.dumps(np.arange(3)), "holds Array, expected a pandas DataFrame"),
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
    with pytest.raises(DataError, match=r"x.df .*only plain numbers are read"):
        read_pickled_frame(path)
    rebuild = b"\x80\x04" + _short("numpy.core.multiarray") + _short("_reconstruct") + b"\x93"
    path.write_bytes(rebuild + _short("numpy") + _short("dtype") + b"\x93K\x00\x85C\x01b\x87R.")
    with pytest.raises(DataError, match=r"x.df .*only plain arrays are read"):
        read_pickled_frame(path)


def test_bytes_of_old_pickles_are_latin1_and_nothing_else(tmp_path: Path) -> None:
    """Protocol 2 writes bytes as `_codecs.encode(text, "latin1")`."""
    path = tmp_path / "x.df"
    path.write_bytes(pickle.dumps(b"\xff", protocol=2))
    with pytest.raises(DataError, match="holds bytes, expected a pandas DataFrame"):
        read_pickled_frame(path)
    path.write_bytes(pickle.dumps(b"\xff", protocol=2).replace(b"latin1", b"utf_16"))
    with pytest.raises(DataError, match=r"x.df .*bytes are encoded as 'utf_16'"):
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


class _Reduced:
    """Pickled as a call of a function of pandas, with a state where there is one."""

    def __init__(self, function: object, arguments: tuple[Any, ...], state: object = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def pickled_frame(protocol: int = 4, *, histories: tuple[list[Any], ...] = ([1, 2], [3], [])) -> bytes:
    """What pandas writes for a frame of a list column, a number and a text, in three blocks."""
    names = {
        "pandas.core.frame": "DataFrame",
        "pandas.core.internals.managers": "BlockManager",
        "pandas._libs.internals": "_unpickle_block",
        "pandas.core.indexes.base": "_new_Index",
        "pandas.core.indexes.range": "RangeIndex",
    }
    with pytest.MonkeyPatch.context() as patch:
        made: dict[str, Any] = {}
        for module, name in names.items():
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                patch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
            made[name] = type(name, (), {"__module__": module, "__qualname__": name})
            setattr(sys.modules[module], name, made[name])
        patch.setattr(sys.modules["pandas.core.indexes.base"], "Index", made["RangeIndex"], raising=False)
        lists = np.empty((1, 3), dtype=object)
        lists[0, :] = histories
        texts = np.array([["a", None, "é"]], dtype=object)
        blocks = (
            _Reduced(made["_unpickle_block"], (lists, slice(0, 1, 1), 2)),
            _Reduced(made["_unpickle_block"], (np.array([[5, 6, 7]]), slice(1, 2, 1), 2)),
            _Reduced(made["_unpickle_block"], (texts, np.array([2]), 2)),
        )
        columns = np.array(["seq", "next", "name"], dtype=object)
        axes = [
            _Reduced(made["_new_Index"], (made["RangeIndex"], {"data": columns, "name": None})),
            _Reduced(made["_new_Index"], (made["RangeIndex"], {"start": 0, "stop": 3, "step": 1, "name": None})),
        ]
        manager = _Reduced(made["BlockManager"], (blocks, axes))
        return pickle.dumps(_Reduced(made["DataFrame"], (), {"_mgr": manager, "_typ": "dataframe"}), protocol=protocol)


@contextmanager
def little_memory() -> Iterator[None]:
    """A mutated length or index may ask for any amount; what is not to be had is refused at once."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refused_with(path: Path) -> str | None:
    try:
        read_pickled_frame(path)
    except DataError as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_frame_of_all_kinds_of_columns_is_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(pickled_frame(protocol))
    frame = read_pickled_frame(path)
    assert frame.to_dict(as_series=False) == {"seq": [[1, 2], [3], []], "next": [5, 6, 7], "name": ["a", None, "é"]}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    protocol=st.sampled_from([2, 4, 5]),
    cut=st.integers(0, 20),
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded in the way of Linux")
def test_whatever_becomes_of_a_pickle_it_is_a_frame_or_refused_by_name(
    tmp_path: Path, changes: list[tuple[int, int]], protocol: int, cut: int
) -> None:
    content = bytearray(pickled_frame(protocol))
    for place, byte in changes:
        content[place % len(content)] = byte
    path = tmp_path / "x.df"
    path.write_bytes(bytes(content[: len(content) - max(0, cut - 15)]))
    with little_memory():
        refusal = refused_with(path)
    assert refusal is None or "x.df" in refusal


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x8c\x04_mgr", b"\x8c\x04_mgR"),
        (b"\x8c\x04data", b"\x8c\x04dada"),
        (b"\x8c\x04next", b"\x8c\x04name"),
    ],
)
def test_a_frame_whose_parts_do_not_fit_is_refused_by_name(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(pickled_frame().replace(before, after))
    with pytest.raises(DataError, match=r"x.df"):
        read_pickled_frame(path)


def test_a_frame_without_axes_is_refused_by_name(tmp_path: Path) -> None:
    manager = _short("pandas.core.internals.managers") + _short("BlockManager") + b"\x93))\x86R"
    frame = b"\x80\x04" + _short("pandas.core.frame") + _short("DataFrame") + b"\x93)\x81}" + _short("_mgr")
    path = tmp_path / "x.df"
    path.write_bytes(frame + manager + b"sb.")
    with pytest.raises(DataError, match=r"x.df is not a readable pickle of a frame \(list index out of range\)"):
        read_pickled_frame(path)


def test_a_type_that_claims_to_hold_no_objects_is_still_one_of_objects(tmp_path: Path) -> None:
    """numpy believes the last number of the state, and then takes any bytes for an address."""
    dtype = _short("numpy") + _short("dtype") + b"\x93" + _short("O8") + b"\x89\x88\x87R"
    state = b"(K\x03" + _short("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    scalar = b"\x80\x04" + _short("numpy.core.multiarray") + _short("scalar") + b"\x93"
    path = tmp_path / "x.df"
    path.write_bytes(scalar + dtype + state + b"C\x08AAAAAAAA\x86R.")
    with pytest.raises(DataError, match=r"x.df .*only plain numbers are read"):
        read_pickled_frame(path)


def test_a_place_in_memory_that_no_file_reaches_is_refused_before_room_is_made(tmp_path: Path) -> None:
    path = tmp_path / "far.df"
    path.write_bytes(b"\x80\x04N" + b"r" + (2**32 - 1).to_bytes(4, "little") + b".")  # would take 64 GB
    with pytest.raises(DataError, match="in place 4,294,967,295"):
        read_pickled_frame(path)
    path.write_bytes(b"\x80\x04Np4000000000\n.")
    with pytest.raises(DataError, match="in place 4,000,000,000"):
        read_pickled_frame(path)


def test_lists_that_stand_for_many_are_refused_before_they_are_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpickling, "FREE_BYTES", 2**20)  # what a small file may become whatever its size
    many = [[1] * 10_000] * 1_000
    path = tmp_path / "many.df"
    path.write_bytes(pickled_frame(histories=(many, [[3]], [[4]])))
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="more than 200 times its size"):
        read_pickled_frame(path)
