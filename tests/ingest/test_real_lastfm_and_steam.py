"""Released rows of LastFM and Steam, and LastFM's own tag events."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data import Dataset, SplitConfig, load_dataset, split_dataset
from llara.errors import DataError
from llara.ingest import import_log, import_rows
from llara.leakage import check_dataset


def import_released(real_data: Path, folder: Path, name: str, padding: int, noun: str) -> Dataset:
    source = real_data / name
    import_rows(source / "rows.parquet", folder, items=source / "items.parquet", padding=padding, noun=noun)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def lastfm(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_released(real_data, tmp_path_factory.mktemp("rows") / "lastfm", "lastfm", 4606, "artist")


@pytest.fixture(scope="module")
def steam(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return import_released(real_data, tmp_path_factory.mktemp("rows") / "steam", "steam", 3581, "game")


def test_released_lastfm_rows_are_read_row_by_row(real_data: Path, lastfm: Dataset) -> None:
    rows = pl.read_parquet(real_data / "lastfm" / "rows.parquet")
    split = split_dataset(lastfm, SplitConfig(method="rows", min_history=0))
    ids = np.array([4606, *lastfm.catalog.item_ids[1:]])
    for part, name, count in (
        (split.train, "train", 50_800),
        (split.validation, "val", 122),
        (split.test, "test", 122),
    ):
        expected = rows.filter(split=name)
        assert len(part) == count
        assert ids[part.history].tolist() == expected["seq"].to_list()
        assert ids[part.target].tolist() == expected["next"].to_list()


def test_lastfm_has_47872_training_rows_with_three_earlier_items(lastfm: Dataset) -> None:
    split = split_dataset(lastfm, SplitConfig(method="rows"))
    assert (len(split.train), len(split.validation), len(split.test)) == (47_872, 122, 122)


def test_lastfm_training_rows_chain_to_the_976_users_they_came_from(real_data: Path, lastfm: Dataset) -> None:
    runs = pl.read_parquet(real_data / "lastfm" / "rows.parquet").filter(split="train")["train_user_run"]
    sequences = split_dataset(lastfm, SplitConfig(method="rows")).train_sequences
    assert sequences.lengths.tolist() == runs.value_counts(sort=False).sort("train_user_run")["count"].to_list()
    assert lastfm.log.user_ids[0] == "train-0001"


def test_steam_rows_are_read_as_released(real_data: Path, steam: Dataset) -> None:
    rows = pl.read_parquet(real_data / "steam" / "rows.parquet")
    whole = split_dataset(steam, SplitConfig(method="rows", min_history=0))
    assert (len(whole.train), len(whole.validation), len(whole.test)) == (1_000, 1_194, 1_194)
    ids = np.array([3581, *steam.catalog.item_ids[1:]])
    assert ids[whole.train.history].tolist() == rows.filter(split="train_sample")["seq"].to_list()
    usable = split_dataset(steam, SplitConfig(method="rows"))
    assert len(usable.test) == 1_186
    assert len(usable.train_sequences) == 1_000


def test_lastfm_tag_events_import_with_all_artists(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "lastfm_hetrec"
    events = tmp_path / "events.parquet"
    shutil.copy(source / "interactions.parquet", events)
    with pytest.raises(DataError, match=r"row 1337: timestamp -428720400 .* is before 1970 \(3 such rows\)"):
        import_log(events, tmp_path / "hetrec", items=source / "items.parquet")
    pl.read_parquet(events).filter(pl.col("timestamp") >= 0).write_parquet(events)
    with pytest.raises(DataError, match=r"row 122: item 14103 is not in the items .* --drop-unknown-items"):
        import_log(events, tmp_path / "hetrec", items=source / "items.parquet")
    info = import_log(
        events, tmp_path / "hetrec", items=source / "items.parquet", noun="artist", drop_unknown_items=True
    )
    assert info.num_items == 17_632
    assert info.num_interactions == 71_061 - 767
    assert info.origin["dropped_unknown_items"] == 767
    messages = [finding.message for finding in check_dataset(tmp_path / "hetrec")]
    assert any("same time" in message for message in messages)
