"""Last.fm in time order, with tags that know nothing about test users."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data import SplitConfig, load_dataset, split_dataset
from llara.errors import DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources.lastfm import SOURCES
from llara.ingest.sources.reading import import_source

HETREC = SOURCES[0]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Ten users; user u tags artists 1, 2 and 3 with tag 1 in month u, and user 10, the last, also with tag 2."""
    folder = tmp_path / "hetrec2011-lastfm-2k"
    folder.mkdir()
    (folder / "artists.dat").write_text("id\tname\turl\tpictureURL\n" + "".join(
        f"{artist}\tBand \"{artist}\thttp://x\thttp://y\n" for artist in range(1, 6)
    ))  # fmt: skip
    (folder / "tags.dat").write_bytes("tagID\ttagValue\n1\trock\n2\tpop fran\xe7aise\n".encode("latin-1"))
    lines = [f"{user}\t{artist}\t1\t1\t{user}\t2009" for user in range(1, 11) for artist in (1, 2, 3)]
    lines += ["10\t4\t2\t1\t12\t2009", "10\t1\t2\t1\t12\t2010", "1\t99\t1\t1\t1\t2009", "1\t5\t1\t1\t1\t1956"]
    (folder / "user_taggedartists.dat").write_text("userID\tartistID\ttagID\tday\tmonth\tyear\n" + "\n".join(lines))
    return folder


def test_the_first_tag_of_each_user_and_artist_counts(raw: Path, tmp_path: Path) -> None:
    info = import_source(HETREC, raw, tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions) == (10, 4, 31)
    assert info.origin["dropped_events_of_unlisted_artists"] == 1
    assert info.origin["dropped_events_before_1970"] == 1
    log = pl.read_parquet(tmp_path / "x" / "interactions.parquet")
    last = log.filter(user_id=10, item_id=1)["timestamp"].to_list()
    assert last == [1254355200], "October 2009, not the later tag of December 2010"


def test_tags_are_counted_from_training_users_only(raw: Path, tmp_path: Path) -> None:
    info = import_source(HETREC, raw, tmp_path / "x")
    tags = dict(pl.read_parquet(tmp_path / "x" / "items.parquet").select("item_id", "tags").iter_rows())
    assert tags == {1: "rock", 2: "rock", 3: "rock", 4: None}
    dataset = load_dataset(tmp_path / "x")
    split = split_dataset(dataset, SplitConfig(min_history=1))
    training = {dataset.log.user_ids[user] for user in split.train_sequences.user_index}
    recorded = info.origin["metadata_users"]
    assert isinstance(recorded, dict)
    assert set(recorded["users"]) == training == set(range(1, 9))


def test_shuffled_ties_keep_the_times_and_lose_the_order(raw: Path, tmp_path: Path) -> None:
    orders = set()
    for seed in range(6):
        folder = tmp_path / f"x{seed}"
        import_source(HETREC, raw, folder, shape=ShapeConfig(ties="shuffle", seed=seed))
        log = pl.read_parquet(folder / "interactions.parquet")
        assert log["timestamp"].is_sorted()
        orders.add(tuple(log.filter(user_id=3)["item_id"]))
        assert set(orders) <= {(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)}
    assert len(orders) > 1
    import_source(HETREC, raw, tmp_path / "again", shape=ShapeConfig(ties="shuffle", seed=5))
    assert (tmp_path / "again" / "interactions.parquet").read_bytes() == (
        tmp_path / "x5" / "interactions.parquet"
    ).read_bytes()


def test_a_broken_identifier_is_named(raw: Path, tmp_path: Path) -> None:
    path = raw / "user_taggedartists.dat"
    path.write_text(path.read_text().replace("10\t4\t2", "\t4\t2"))
    with pytest.raises(DataError, match=r"user_taggedartists.dat line 32: userID is missing"):
        import_source(HETREC, raw, tmp_path / "x")


def test_real_tag_events_are_pinned(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "raw" / "lastfm-hetrec"
    info = import_source(HETREC, raw, tmp_path / "file")
    # 1,892 users and 71,064 first tags are published; 767 name artists that artists.dat lacks (1,538 tag events), and
    # four events are dated before 1970: one user has no other.
    assert (info.num_users, info.num_items, info.num_interactions) == (1_891, 12_133, 70_296)
    shuffled = import_source(HETREC, raw, tmp_path / "shuffled", shape=ShapeConfig(ties="shuffle"))
    assert (shuffled.num_users, shuffled.num_items, shuffled.num_interactions) == (1_891, 12_133, 70_296)
    assert rising_share(tmp_path / "file") > 0.85
    assert 0.45 < rising_share(tmp_path / "shuffled") < 0.6


def rising_share(folder: Path) -> float:
    """Share of neighboring interactions of a user whose artist identifiers rise."""
    dataset = load_dataset(folder)
    ids = np.array(dataset.catalog.item_ids)[dataset.log.sequences.items]
    within = np.ones(len(ids) - 1, dtype=bool)
    within[dataset.log.sequences.offsets[1:-1] - 1] = False
    return float((ids[1:] > ids[:-1])[within].mean())
