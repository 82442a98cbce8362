"""Pandas frames out of pickles that we did not write: only arrays and the frame around them, nothing else.

A pickle is a program. This reader runs none of it: the only names that it resolves are `slice` and stand-ins of ours
for the classes of numpy and pandas, which keep what they are given and do nothing. Any other name is refused. numpy's
own types would not do: a pickle can tell one of them that it holds no objects, and so have any bytes taken for one.
pandas itself is not needed.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from llara.data.tables import FREE_BYTES, MOST_RATIO
from llara.errors import DataError

_NUMBER_OR_OBJECT = re.compile(r"(?:[iu][1248]|f[248]|b1|O8?)")
_VALUE_BYTES = 8
_DEEPEST = 3
"""A history is a list, or a list of pairs."""


class _Type:
    """A stand-in for a numpy type: a plain number or an object, and the order of its bytes."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _NUMBER_OR_OBJECT.fullmatch(code):
            raise ValueError(f"type {code!r}; only plain numbers and objects are read")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """A stand-in for a numpy array, which has its content once it has its state."""

    def __init__(self) -> None:
        self.values: np.ndarray[Any, Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, data = state
        if isinstance(data, list):  # objects, always in the order of C
            self.values = np.fromiter(data, dtype=object, count=len(data)).reshape(shape)
        else:
            self.values = _numbers(data, kind).reshape(shape, order="F" if is_fortran else "C")


@dataclass
class _Kept:
    """A stand-in for a pandas object: its arguments and its state, untouched."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401  (whatever the file holds)
        self.state = state


class _Frame(_Kept):
    pass


class _Index(_Kept):
    pass


class _RangeIndex(_Index):
    pass


@dataclass
class _Block:
    values: Any
    places: Any


@dataclass
class _Manager:
    blocks: tuple[_Block, ...]
    axes: list[Any] = field(default_factory=list)


def read_pickled_frame(path: Path) -> pl.DataFrame:
    """Read a pickled pandas DataFrame of numbers, texts and lists.

    Args:
        path: Written by `DataFrame.to_pickle` of pandas 1.1 or later.

    Raises:
        DataError: If the file asks for anything but arrays and the frame around them (the message names it), or is no
            pickled frame.
    """
    try:
        content = path.read_bytes()
        _refuse_far_memos(content)
        loaded = _Restricted(io.BytesIO(content), path.name).load()
        if not isinstance(loaded, _Frame) or not isinstance(loaded.state, dict):
            raise DataError(f"{path} holds {type(loaded).__name__.strip('_')}, expected a pandas DataFrame.")
        manager = loaded.state.get("_mgr", loaded.state.get("_data"))
        if not isinstance(manager, _Manager):
            raise DataError(f"{path} was written by a pandas of another time. Load and save it with a current pandas.")
        return _assemble(manager, _Budget(max(FREE_BYTES, MOST_RATIO * len(content)) // _VALUE_BYTES))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is not a readable pickle of a frame ({reason}). Is the download complete?") from error


def _refuse_far_memos(content: bytes) -> None:
    """Refuse "remember this in place 4,000,000,000": the unpickler would make room for all places before it.

    Such an opcode is looked for among all bytes first, where texts look like it as well, since parsing takes seconds.
    """
    far = (int.from_bytes(found[1], "little") > len(content) for found in re.finditer(rb"(?s)r(?=(.{4}))", content))
    if not any(far) and not re.search(rb"p\s*\+?[0-9_]{5}", content):
        return
    for opcode, place, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "LONG_BINPUT") and isinstance(place, int) and place > len(content):
            raise ValueError(f"it remembers something in place {place:,}, in a file of {len(content):,} bytes")


@dataclass
class _Budget:
    """Values that a file of its size can hold; one list that stands for many multiplies them for nothing."""

    left: int

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")


class _Restricted(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file)
        self._name = name

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (the signature of the base class)
        found = _ADMITTED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise DataError(
                f"{self._name} asks for {module}.{name}, which is no array type of pandas or numpy: it could run any "
                "program. Nothing of it was run. Use a Parquet or JSON Lines file from someone you trust instead."
            )
        return found

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401  (the signature of the base class)
        raise DataError(f"{self._name} refers to something outside of itself ({pid!r}), which is refused.")


def _reconstruct(kind: type, *_: object) -> _Array:
    if kind is not _Array:
        raise ValueError(f"an array of the kind {kind!r}; only plain arrays are read")
    return _Array()


def _from_buffer(buffer: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.values = _numbers(buffer, kind).reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(kind: _Type, data: bytes) -> object:
    return _numbers(data, kind)[0].item()


def _numbers(data: bytes, kind: _Type) -> np.ndarray[Any, Any]:
    if kind.dtype.hasobject:
        raise ValueError("numbers of an object type; only plain numbers are read")
    return np.frombuffer(data, dtype=kind.dtype)


def _encode(text: str, encoding: str) -> bytes:
    """What old pickles use to hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are encoded as {encoding!r}; expected latin1")
    return text.encode("latin1")


def _new_index(kind: type[_Index], state: dict[str, Any]) -> _Index:
    return kind(state=state)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("builtins", "slice"): slice,
    ("__builtin__", "slice"): slice,
    ("_codecs", "encode"): _encode,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): lambda blocks, axes: _Manager(tuple(blocks), list(axes)),
    ("pandas._libs.internals", "_unpickle_block"): lambda values, places, ndim: _Block(values, places),
    ("pandas.core.internals.blocks", "new_block"): lambda values, placement, ndim: _Block(values, placement),
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.numeric", "Int64Index"): _Index,
    ("pandas.core.indexes.range", "RangeIndex"): _RangeIndex,
}


def _assemble(manager: _Manager, budget: _Budget) -> pl.DataFrame:
    """The columns of a frame: each block holds some of them, one per row of its values."""
    names = [str(name) for name in manager.axes[0].state["data"].values]
    columns: dict[int, pl.Series] = {}
    for block in manager.blocks:
        indices = block.places.values if isinstance(block.places, _Array) else range(len(names))[block.places]
        for place, values in zip(indices, block.values.values, strict=True):
            columns[int(place)] = _series(names[place], values.tolist(), budget)
    return pl.DataFrame([columns[place] for place in sorted(columns)])


def _series(name: str, values: list[Any], budget: _Budget) -> pl.Series:
    _refuse_other_values(name, values, _DEEPEST, budget)
    try:
        is_nested = any(isinstance(value, list | tuple) for value in values)
        # Ten times as fast for lists: polars makes a series of each first.
        return pl.Series(name, pa.array(values) if is_nested else values)
    except (TypeError, OverflowError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise ValueError(f"column {name!r} holds more than numbers, texts and lists: {error}") from error


def _refuse_other_values(name: str, values: list[Any] | tuple[Any, ...], depth: int, budget: _Budget) -> None:
    budget.spend(len(values))
    for value in values:
        if isinstance(value, list | tuple) and depth > 1:
            _refuse_other_values(name, value, depth - 1, budget)
        elif value is not None and not isinstance(value, int | float | str):
            kind = type(value).__name__.strip("_")
            raise ValueError(f"column {name!r} holds a {kind}; only numbers, texts and lists are read")
