"""Reading item vectors from safetensors, NumPy and Parquet files, into the order of the item indices."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from polars.exceptions import PolarsError
from safetensors import SafetensorError, safe_open

from llara.data.limits import check_limits
from llara.data.sequences import IntArray
from llara.errors import ConfigError, DataError
from llara.recommender.imported import ImportedEmbeddings

Value = TypeVar("Value")
FloatArray = NDArray[np.float32]
_ID_COLUMN = "item_id"


@dataclass(frozen=True, kw_only=True)
class ImportedConfig:
    """Where item vectors come from."""

    path: Path | None = None
    """A .safetensors, .npy or .parquet file (`item_id`, then one list column or a number column per dimension)."""
    key: str | None = None
    """Tensor of a .safetensors file. None: its only one."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.imported")


def import_embeddings(
    config: ImportedConfig,
    *,
    num_items: int,
    row_of_item_index: IntArray | None = None,
    item_ids: Sequence[int | str] | None = None,
) -> ImportedEmbeddings:
    """Read item vectors and put them into the order of the item indices.

    Args:
        config: The file.
        num_items: Catalog size, without padding.
        row_of_item_index: Row of the file for item indices 1, 2, ..., num_items, shape [num_items]: where the file
            follows `items.parquet`, what `llara.data.item_order` gives. Needed by files without identifiers.
        item_ids: Identifiers by item index, entry 0 unused (`Catalog.item_ids`). Needed by Parquet files.

    Raises:
        ConfigError: If no file is named, its suffix is unknown, or the argument that this kind of file needs is absent.
        DataError: If the file is missing, unreadable, holds other rows than the catalog has items, or other than
            finite numbers.
    """
    path = config.path
    if path is None:
        raise ConfigError(
            "recommender.imported.path is not set. Name the .safetensors, .npy or .parquet file of vectors."
        )
    if not path.is_file():
        raise DataError(f"item vectors {path} do not exist. Check recommender.imported.path.")
    if path.suffix == ".parquet":
        vectors = _read_parquet(path, _required(item_ids, path, "item_ids"), num_items=num_items)
    else:
        rows = _required(row_of_item_index, path, "row_of_item_index")
        vectors = _by_row(_read_array(path, config.key), rows, path, num_items=num_items)
    table = torch.from_numpy(np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors]))
    try:
        return ImportedEmbeddings(table)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _required(value: Value | None, path: Path, argument: str) -> Value:
    if value is None:
        raise ConfigError(f"{path.name} can only be matched with the catalog by `{argument}`, which was not given.")
    return value


def _read_array(path: Path, key: str | None) -> FloatArray:
    if path.suffix == ".safetensors":
        return _read_safetensors(path, key)
    if path.suffix == ".npy":
        return _read_npy(path)
    raise ConfigError(
        f"recommender.imported.path must end in .safetensors, .npy or .parquet, got {path.name!r}. "
        "Pickled formats are never read: save the vectors with numpy.save or safetensors."
    )


def _read_safetensors(path: Path, key: str | None) -> FloatArray:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if key is None and len(names) != 1:
                raise ConfigError(f"{path} holds {len(names)} tensors: {names}. Set recommender.imported.key to one.")
            if key is not None and key not in names:
                raise ConfigError(f"recommender.imported.key {key!r} is not in {path}, which holds {names}.")
            tensor = file.get_tensor(key or names[0])
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a readable safetensors file ({error}). Is it complete?") from error
    return _numbers(tensor.float().numpy(), path)


def _read_npy(path: Path) -> FloatArray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path} is not a readable array of numbers ({error}). Save it with numpy.save, not as objects."
        ) from error
    return _numbers(array, path)


def _read_parquet(path: Path, item_ids: Sequence[int | str], *, num_items: int) -> FloatArray:
    """Vectors of item indices 1..num_items, found by their identifiers, [num_items, R]."""
    try:
        frame = pl.read_parquet(path, glob=False)
    except PolarsError as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}). Is it complete?") from error
    if _ID_COLUMN not in frame.columns:
        raise DataError(f"{path} has no column 'item_id', found {frame.columns}. Name the identifiers' column so.")
    row_of_id: dict[str, int] = {}
    for row, item_id in enumerate(frame[_ID_COLUMN].cast(pl.String).to_list()):
        if item_id in row_of_id:
            raise DataError(f"{path} row {row + 1}: item_id {item_id!r} appears again. Each item needs one vector.")
        row_of_id[item_id] = row
    missing = [item_id for item_id in item_ids[1:] if str(item_id) not in row_of_id]
    if missing:
        raise DataError(
            f"{path} has no vector for {len(missing)} of {num_items} items, the first is {missing[0]!r}. "
            "Add rows for them (zeros where the other model does not know an item)."
        )
    rows = [row_of_id[str(item_id)] for item_id in item_ids[1:]]
    return _vector_columns(frame.drop(_ID_COLUMN), path)[rows]


def _vector_columns(frame: pl.DataFrame, path: Path) -> FloatArray:
    """The one list column, or all number columns side by side, [rows, R]."""
    if frame.width == 1 and isinstance(frame.dtypes[0], pl.List | pl.Array):
        vectors = frame.to_series().cast(pl.List(pl.Float32)) if frame.dtypes[0].inner.is_numeric() else None
        widths = vectors.list.len().unique() if vectors is not None else pl.Series([])
        if vectors is None or len(widths) != 1 or vectors.null_count():
            raise DataError(
                f"{path} column {frame.columns[0]!r}: expected lists of numbers, all of one length, none null."
            )
        return np.array(vectors.list.explode().to_numpy(), dtype=np.float32).reshape(len(frame), -1)
    strange = [name for name, kind in zip(frame.columns, frame.dtypes, strict=True) if not kind.is_numeric()]
    if strange or frame.width == 0:
        raise DataError(
            f"{path}: expected, beside item_id, one column of lists or one number column per dimension, "
            f"found {strange or 'none'}. Drop the other columns."
        )
    return frame.cast(pl.Float32).to_numpy()


def _numbers(array: NDArray[np.generic], path: Path) -> FloatArray:
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected numbers of shape [items, R], found {array.dtype} {list(array.shape)}.")
    return array.astype(np.float32)


def _by_row(vectors: FloatArray, rows: IntArray, path: Path, *, num_items: int) -> FloatArray:
    """Rows in the order of the item indices; one further row, as in LLaRA's released files, is padding."""
    if len(vectors) not in (num_items, num_items + 1):
        raise DataError(
            f"{path} holds {len(vectors)} rows, the catalog {num_items} items: expected {num_items} rows in the order "
            f"of items.parquet, or {num_items + 1} of which the last is padding. Is it of another data set?"
        )
    if sorted(rows.tolist()) != list(range(num_items)):
        raise ConfigError(f"row_of_item_index must name each of the rows 0..{num_items - 1} once, shape [{num_items}].")
    return vectors[rows]
