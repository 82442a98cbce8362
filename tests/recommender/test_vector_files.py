"""Item vectors from files reach the right item indices, and bad files are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from llara.errors import ConfigError, DataError
from llara.recommender import (
    ImportedConfig,
    ImportedEmbeddings,
    RecommenderConfig,
    build_recommender,
    import_embeddings,
)

VECTORS = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]], dtype=np.float32)
ROWS = np.array([2, 0, 1])  # item indices 1, 2, 3 are rows 2, 0, 1 of the file
EXPECTED = [[0.0, 0.0], [3.0, 3.0], [1.0, 0.0], [0.0, 2.0]]
ITEM_IDS = (-1, 30, 10, 20)


def read(path: Path, *, key: str | None = None, num_items: int = 3, **given: Any) -> ImportedEmbeddings:
    arguments = {"row_of_item_index": ROWS, "item_ids": ITEM_IDS, **given}
    return import_embeddings(ImportedConfig(path=path, key=key), num_items=num_items, **arguments)


@pytest.mark.parametrize("padding_rows", [0, 1])
@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
def test_rows_are_put_into_the_order_of_the_item_indices(tmp_path: Path, suffix: str, padding_rows: int) -> None:
    path = tmp_path / f"vectors.{suffix}"
    vectors = np.concatenate([VECTORS, np.full((padding_rows, 2), 7, np.float32)])
    if suffix == "npy":
        np.save(path, vectors.astype(np.float64))
    else:
        save_file({"item_embeddings": torch.from_numpy(vectors)}, path)
    assert read(path).item_embeddings().tolist() == EXPECTED


@pytest.mark.parametrize(
    "columns",
    [
        {"vector": VECTORS.tolist()},
        {"vector": pl.Series(VECTORS.tolist(), dtype=pl.Array(pl.Float64, 2))},
        {"x0": VECTORS[:, 0], "x1": VECTORS[:, 1].astype(np.int64)},
    ],
    ids=["list", "array", "columns"],
)
@pytest.mark.parametrize("text_ids", [False, True])
def test_parquet_is_matched_by_identifier(tmp_path: Path, columns: dict[str, Any], text_ids: bool) -> None:
    frame = pl.DataFrame({"item_id": [10, 20, 30], **columns})
    frame = frame.vstack(frame.head(1).with_columns(item_id=pl.lit(99, dtype=pl.Int64)))  # an item beyond the catalog
    frame = frame.with_columns(pl.col("item_id").cast(pl.String)) if text_ids else frame
    frame.write_parquet(tmp_path / "vectors.parquet")
    assert read(tmp_path / "vectors.parquet").item_embeddings().tolist() == EXPECTED


def test_build_recommender_reads_the_configured_file(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", VECTORS)
    config = RecommenderConfig(name="imported", imported=ImportedConfig(path=tmp_path / "vectors.npy"))
    recommender = build_recommender(config, num_items=3, row_of_item_index=ROWS)
    assert recommender.item_embeddings().tolist() == EXPECTED
    assert (recommender.num_items, recommender.width) == (3, 2)


def test_a_key_selects_one_of_several_tensors(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file({"items": torch.from_numpy(VECTORS), "users": torch.zeros(1)}, path)
    assert read(path, key="items").item_embeddings().tolist() == EXPECTED
    with pytest.raises(ConfigError, match=r"holds 2 tensors.*Set recommender.imported.key"):
        read(path)
    with pytest.raises(ConfigError, match=r"key 'movies' is not in .*'items', 'users'"):
        read(path, key="movies")


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"v.npy is not a readable array of numbers.*not as objects"):
        read(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VECTORS[:2], "holds 2 rows, the catalog 3 items: expected 3 rows.*or 4 of which the last is padding"),
        (VECTORS[0], r"expected numbers of shape \[items, R\], found float32 \[2\]"),
        (VECTORS.astype(str), r"expected numbers of shape \[items, R\], found <U"),
        (np.where(VECTORS == 2, np.nan, VECTORS), r"v.npy: the vector of item index 3 holds NaN or infinity \(1 such"),
        (VECTORS[:, :0], r"must have shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, array: NDArray[Any], message: str) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [1], "x": [1.0]}, "has no column 'item_id'"),
        ({"item_id": [10, 20], "x": [1.0, 2.0]}, "no vector for 1 of 3 items, the first is 30"),
        ({"item_id": [10, 20, 20], "x": [1.0, 2.0, 3.0]}, "row 3: item_id '20' appears again"),
        ({"item_id": [10, 20, 30], "x": ["a", "b", "c"]}, r"one number column per dimension, found \['x'\]"),
        ({"item_id": [10, 20, 30]}, "found none"),
        ({"item_id": [10, 20, 30], "v": [[1.0], [2.0], [3.0, 4.0]]}, "expected lists of numbers, all of one length"),
        ({"item_id": [10, 20, 30], "v": [[1.0], [2.0], None]}, "expected lists of numbers, all of one length"),
        ({"item_id": [10, 20, 30], "v": [["a"], ["b"], ["c"]]}, "expected lists of numbers"),
        ({"item_id": [10, 20, 30], "v": [1.0, None, 3.0]}, "item index 3 holds NaN"),
        ({"item_id": [10, 20, 30], "v": [[1.0], [None], [3.0]]}, "item index 3 holds NaN"),
    ],
)
def test_parquet_that_does_not_fit_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "v.parquet")


@pytest.mark.parametrize("name", ["v.npy", "v.safetensors", "v.parquet"])
def test_files_that_are_not_what_they_say_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what the suffix says")
    with pytest.raises(DataError, match=f"{name} is not a readable"):
        read(tmp_path / name)


def test_missing_or_strange_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"do not exist. Check recommender.imported.path"):
        read(tmp_path / "v.npy")
    (tmp_path / "v.pkl").write_bytes(b"")
    with pytest.raises(ConfigError, match="Pickled formats are never read"):
        read(tmp_path / "v.pkl")
    with pytest.raises(ConfigError, match=r"recommender.imported.path is not set"):
        import_embeddings(ImportedConfig(), num_items=3)


def test_a_file_needs_its_way_to_the_catalog(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(ConfigError, match="`row_of_item_index`, which was not given"):
        read(tmp_path / "v.npy", row_of_item_index=None)
    with pytest.raises(ConfigError, match=r"each of the rows 0\.\.2 once"):
        read(tmp_path / "v.npy", row_of_item_index=np.array([0, 1, 1]))
    pl.DataFrame({"item_id": [1], "x": [1.0]}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(ConfigError, match="`item_ids`, which was not given"):
        read(tmp_path / "v.parquet", item_ids=None)


def test_the_released_embeddings_are_read(real_data: Path) -> None:
    recommender = import_embeddings(
        ImportedConfig(path=real_data / "release_embeddings" / "movielens.sasrec.safetensors"),
        num_items=1682,
        row_of_item_index=np.random.default_rng(0).permutation(1682),
    )
    assert recommender.item_embeddings().shape == (1683, 64)
