"""Dataset folders: `interactions.parquet`, `items.parquet`, `dataset.json`, and `rows.parquet` where rows are given."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

import polars as pl

from llara.data.catalog import Catalog, build_catalog
from llara.data.columns import id_column, number_column, refuse_duplicates, refuse_unknown, same_kind, title_column
from llara.data.files import new_folder, sha256_of, write_parquet
from llara.data.log import InteractionLog, build_log
from llara.data.nouns import Noun
from llara.data.released_rows import ReleasedRows, build_rows, validated_rows
from llara.data.tables import Table, read_parquet, table_of
from llara.data.times import time_column
from llara.errors import ConfigError, DataError

INFO_FILE = "dataset.json"
_FORMAT = 1
_KINDS: tuple[tuple[str, tuple[type, ...], tuple[str, ...]], ...] = (
    ("a text", (str,), ("name", "noun", "interactions_sha256", "items_sha256")),
    ("a whole number", (int,), ("num_users", "num_items", "num_interactions")),
    ("a mapping", (dict,), ("origin", "split")),
    ("a text or null", (str, type(None)), ("rows_sha256",)),
)
"""What the keys of `dataset.json` are."""


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` says about the folder.

    Attributes:
        name: Name of the data set.
        noun: What an item is: "movie", "game", "artist", "book" or "item".
        num_users: Users with at least one interaction.
        num_items: Items of the catalog, with and without interactions.
        num_interactions: Rows of `interactions.parquet`.
        interactions_sha256: Hash of `interactions.parquet`.
        items_sha256: Hash of `items.parquet`.
        origin: Where the data came from and every option that shaped it.
        rows_sha256: Hash of `rows.parquet`; None without one.
        split: How the data set is meant to be split: some of `method`, `history_length` and `min_history`. A run that
            does not say otherwise is split so.
    """

    name: str
    noun: str
    num_users: int
    num_items: int
    num_interactions: int
    interactions_sha256: str
    items_sha256: str
    origin: dict[str, object]
    rows_sha256: str | None = None
    split: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A catalog, a log over its items and, where the folder has them, released rows.

    Attributes:
        info: Name, noun, counts, hashes, origin.
        catalog: All items.
        log: All interactions.
        rows: Training and evaluation rows as somebody released them.
        folder: Where it was read from.
    """

    info: DatasetInfo
    catalog: Catalog
    log: InteractionLog
    rows: ReleasedRows | None = None
    folder: Path | None = None

    @property
    def has_times(self) -> bool:
        """Whether timestamps are moments that compare between users, not places in an order."""
        return self.info.origin.get("timestamps") not in ("positions", "file order")


def load_dataset(folder: Path | str, *, seed: int = 0) -> Dataset:
    """Read a dataset folder and verify it.

    Args:
        folder: Made by `write_dataset` or `llara data import`.
        seed: Seed of the permutation that numbers the items; another seed, other indices for the same items.

    Raises:
        DataError: If a file or column is missing, a file is not the one that `dataset.json` describes, or a row is
            malformed. The message names the file and the row.
    """
    folder = Path(folder)
    info = read_info(folder)
    verify_hashes(folder, info)
    items = validated_items(table_of(read_parquet(folder / "items.parquet"), "items.parquet"))
    interactions = _read_interactions(folder, items)
    catalog = build_catalog(items, noun=info.noun, seed=seed)
    log = build_log(interactions, catalog)
    _refuse_other_counts(folder, info, catalog, log)
    rows = None
    if info.rows_sha256 is not None:
        table = table_of(read_parquet(folder / "rows.parquet"), "rows.parquet")
        rows = build_rows(validated_rows(table, items, interactions), catalog, log)
    return Dataset(info, catalog, log, rows, folder)


def write_dataset(
    folder: Path,
    *,
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    name: str,
    noun: str,
    origin: dict[str, object],
    rows: pl.DataFrame | None = None,
    split: Mapping[str, object] | None = None,
    force: bool = False,
) -> DatasetInfo:
    """Validate a data set and write its folder, whole or not at all.

    Args:
        folder: Where it shall be. An existing dataset folder is replaced only with `force`, and only once the new one
            is complete.
        interactions: `user_id`, `item_id`, `timestamp` (seconds or dates) and, optionally, `rating`. The order of the
            rows decides between equal timestamps.
        items: `item_id`, `title`, and any further columns as metadata.
        name: Name of the data set.
        noun: "movie", "game", "artist", "book" or "item".
        origin: Where the data came from; must be expressible as JSON.
        rows: Released rows: `split`, `user_id`, `history` (item ids, oldest first, no padding), `target`.
        split: How the data set is meant to be split, as in `DatasetInfo`.
        force: Replace an existing dataset folder.

    Raises:
        DataError: If a column is missing, a row is malformed, or the folder cannot be written.
        ConfigError: If the folder exists, or the noun is none of the five.
    """
    if noun not in get_args(Noun):
        raise ConfigError(f"unknown noun {noun!r}; expected one of {', '.join(get_args(Noun))}.")
    if interactions.is_empty() and interactions.columns:
        raise DataError(f"no interaction is left for {folder}{_left_out(origin)}. Do the items fit the log?")
    items = validated_items(table_of(items, "items"))
    interactions = validated_interactions(table_of(interactions, "interactions"), items)
    if rows is not None:
        rows = validated_rows(table_of(rows, "rows"), items, interactions)
    with new_folder(folder, force=force, marker=INFO_FILE) as partial:
        write_parquet(interactions, partial / "interactions.parquet")
        write_parquet(items, partial / "items.parquet")
        if rows is not None:
            write_parquet(rows, partial / "rows.parquet")
        info = DatasetInfo(
            name=name,
            noun=noun,
            num_users=interactions["user_id"].n_unique(),
            num_items=len(items),
            num_interactions=len(interactions),
            interactions_sha256=sha256_of(partial / "interactions.parquet"),
            items_sha256=sha256_of(partial / "items.parquet"),
            origin=origin,
            rows_sha256=None if rows is None else sha256_of(partial / "rows.parquet"),
            split=dict(split or {}),
        )
        content = json.dumps({"format": _FORMAT, **asdict(info)}, indent=2, ensure_ascii=False) + "\n"
        (partial / INFO_FILE).write_text(content, encoding="utf-8")
    return info


def read_info(folder: Path) -> DatasetInfo:
    """Read `dataset.json`.

    Raises:
        DataError: If the folder or the file is missing, is not JSON, or a key is missing or has a value that it cannot
            have.
    """
    path = folder / INFO_FILE
    if not path.is_file():
        found = "it has no dataset.json" if folder.is_dir() else "there is no such folder"
        raise DataError(f"{folder} is not a dataset folder: {found}. Make one with `llara data import`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}). Import the data again.") from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise DataError(f"{path} is not of format {_FORMAT}. Import the data again with this version of llara.")
    expected = DatasetInfo.__dataclass_fields__
    content.setdefault("split", {})
    for key in expected:
        if key not in content:
            raise DataError(f"{path} lacks the key {key!r}. Import the data again.")
    for kind, types, keys in _KINDS:
        for key in keys:
            if not isinstance(content[key], types) or isinstance(content[key], bool):
                raise DataError(f"{path}: {key!r} is {content[key]!r}, expected {kind}. Import the data again.")
    if content["noun"] not in get_args(Noun):
        raise DataError(
            f"{path}: 'noun' is {content['noun']!r}, expected one of {', '.join(get_args(Noun))}. Write one of "
            "them, or import the data again with --noun."
        )
    return DatasetInfo(**{key: content[key] for key in expected})


def verify_hashes(folder: Path, info: DatasetInfo) -> None:
    """Raise DataError where a file of the folder is missing or not the one that `dataset.json` describes."""
    expected = {"interactions.parquet": info.interactions_sha256, "items.parquet": info.items_sha256}
    if info.rows_sha256 is not None:
        expected["rows.parquet"] = info.rows_sha256
    for name, sha256 in expected.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder} has no {name}, which its dataset.json describes. Import the data again.")
        found = sha256_of(path)
        if found != sha256:
            raise DataError(
                f"{path} is not the file that dataset.json describes (sha256 {found[:9]}..., not {sha256[:9]}...). It "
                "was changed or copied incompletely. Restore it, or import the data again."
            )


def _refuse_other_counts(folder: Path, info: DatasetInfo, catalog: Catalog, log: InteractionLog) -> None:
    """Raise DataError where `dataset.json` counts otherwise than the files."""
    found = {
        "num_users": log.num_users,
        "num_items": catalog.num_items,
        "num_interactions": len(log.sequences.items),
    }
    for key, count in found.items():
        if getattr(info, key) != count:
            raise DataError(
                f"{folder / INFO_FILE}: {key!r} is {getattr(info, key):,}, but the files have {count:,}. Restore "
                f"{INFO_FILE}, or import the data again."
            )


def _left_out(origin: Mapping[str, object]) -> str:
    """Where the interactions were and why some of them do not count, as far as their origin tells."""
    source = origin.get("interactions") or origin.get("file") or origin.get("source")
    dropped = [f"{key} is {count}" for key, count in origin.items() if key.startswith("dropped_") and count]
    return (f" from {source}" if source else "") + (f": {', '.join(dropped)}" if dropped else "")


def validated_items(table: Table) -> pl.DataFrame:
    """Items with int64 or string `item_id`, one-line `title`, and metadata; DataError names a bad row."""
    ids = id_column(table, "item_id", "--items-item").alias("item_id")
    refuse_duplicates(table, ids)
    titles = title_column(table, "title", "--title").alias("title")
    if len(ids) == 0:
        raise DataError(f"{table.source} has no rows; a catalog needs items. Is the file complete?")
    return table.frame.select(ids, titles, pl.exclude("item_id", "title"))


def _read_interactions(folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    """The columns that make a log; a rating is checked like them and dropped at once, for the sake of memory."""
    table = table_of(read_parquet(folder / "interactions.parquet"), "interactions.parquet")
    return validated_interactions(table, items).select("user_id", "item_id", "timestamp")


def validated_interactions(table: Table, items: pl.DataFrame) -> pl.DataFrame:
    """Interactions with int64 or string ids, int64 `timestamp` and float64 `rating`; DataError names a bad row."""
    item_ids, known = same_kind(id_column(table, "item_id", "--item"), items["item_id"])
    columns = [
        id_column(table, "user_id", "--user").alias("user_id"),
        item_ids.alias("item_id"),
        time_column(table, "timestamp", "--time", unit="s"),
    ]
    if "rating" in table.frame.columns:
        columns.append(number_column(table, "rating", "--rating").alias("rating"))
    if len(table.frame) == 0:
        raise DataError(f"{table.source} has no rows; a log needs interactions. Is the file complete?")
    refuse_unknown(table, item_ids, known, "the items")
    return pl.DataFrame(columns)
