"""Pandas frames out of pickles that we did not write: only arrays and the frame around them, nothing else.

A pickle is a program. This reader runs none of it: the only names that it resolves are numpy's arrays, numbers and
types, `slice`, and stand-ins of ours for pandas' classes, which keep what they are given and do nothing. Any other name
is refused. pandas itself is not needed.
"""

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from llara.errors import DataError


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
        loaded = _Restricted(io.BytesIO(path.read_bytes()), path.name).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path} is not a readable pickle ({error}). Is the download complete?") from error
    if not isinstance(loaded, _Frame) or not isinstance(loaded.state, dict):
        raise DataError(f"{path} holds {type(loaded).__name__.strip('_')}, expected a pandas DataFrame.")
    manager = loaded.state.get("_mgr", loaded.state.get("_data"))
    if not isinstance(manager, _Manager):
        raise DataError(f"{path} was written by a pandas of another time. Load and save it with a current pandas.")
    return _assemble(manager, path)


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


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray[Any, Any]:
    if kind is not np.ndarray:
        raise DataError(f"a pickled array is of the kind {kind!r}; only plain arrays are read.")
    return np.ndarray(shape, np.dtype(code.decode() if isinstance(code, bytes) else code))


def _from_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype[Any], data: bytes) -> object:
    if dtype.hasobject:
        raise DataError("a pickled number is of an object type; only plain numbers are read.")
    return np.frombuffer(data, dtype=dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """What old pickles use to hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise DataError(f"pickled bytes are encoded as {encoding!r}; expected latin1.")
    return text.encode("latin1")


def _new_index(kind: type[_Index], state: dict[str, Any]) -> _Index:
    return kind(state=state)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("builtins", "slice"): slice,
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


def _assemble(manager: _Manager, path: Path) -> pl.DataFrame:
    """The columns of a frame: each block holds some of them, one per row of its values."""
    names = [str(name) for name in manager.axes[0].state["data"]]
    columns: dict[int, pl.Series] = {}
    for block in manager.blocks:
        places = range(len(names))[block.places] if isinstance(block.places, slice) else list(block.places)
        for place, values in zip(places, block.values, strict=True):
            columns[place] = _series(names[place], values, path)
    return pl.DataFrame([columns[place] for place in sorted(columns)])


def _series(name: str, values: np.ndarray[Any, Any], path: Path) -> pl.Series:
    try:
        return pl.Series(name, values.tolist())
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: column {name!r} holds more than numbers, texts and lists ({error}).") from error
