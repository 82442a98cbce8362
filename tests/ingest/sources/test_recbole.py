"""RecBole's atomic files."""

from pathlib import Path

import polars as pl
import pytest

from llara.data import load_dataset
from llara.errors import DataError
from llara.ingest.sources.reading import import_source
from llara.ingest.sources.recbole import SOURCES

RECBOLE = SOURCES[0]
INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\t10\t4\t1.0\nu1\t11\t5\t2.0\nu2\t12\t1\t3.0\n"
ITEM = 'item_id:token\tmovie_title:token_seq\tclass:token_seq\n10\tSay "hi\tA B\n11\t\tC\n12\tRan\t\n12\tRan again\t\n'


def written(folder: Path, inter: str, item: str) -> Path:
    (folder / "toy.inter").write_text(inter)
    (folder / "toy.item").write_text(item)
    return folder


def test_types_leave_the_names_and_untitled_items_are_counted(tmp_path: Path) -> None:
    info = import_source(RECBOLE, written(tmp_path, INTER, ITEM), tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions) == (2, 2, 2)
    assert (info.origin["dropped_item_rows"], info.origin["dropped_unknown_items"]) == (2, 1)
    catalog = load_dataset(tmp_path / "x").catalog
    assert catalog.titles[catalog.index_of(10)] == 'Say "hi'
    assert catalog.metadata.columns == ["class"]


def test_one_of_several_data_sets_is_named_by_its_stem(tmp_path: Path) -> None:
    written(tmp_path, INTER, ITEM)
    (tmp_path / "a.inter").write_text(INTER.replace("u2", "u1"))
    (tmp_path / "a.item").write_text(ITEM)
    assert import_source(RECBOLE, tmp_path, tmp_path / "x", category="toy").num_users == 2
    assert import_source(RECBOLE, tmp_path, tmp_path / "y", category="a").num_users == 1
    with pytest.raises(DataError, match=r"several categories: a, toy. Name one with --category"):
        import_source(RECBOLE, tmp_path, tmp_path / "z")
    (tmp_path / "a.item").unlink()
    assert import_source(RECBOLE, tmp_path, tmp_path / "z").num_users == 2


@pytest.mark.parametrize(
    ("zeros", "unit"), [("", "seconds"), ("000", "seconds, from ms"), ("000000", "seconds, from us")]
)
def test_times_are_in_the_unit_that_the_numbers_show(tmp_path: Path, zeros: str, unit: str) -> None:
    inter = INTER
    for place, time in enumerate(("1.0", "2.0", "3.0")):
        inter = inter.replace(f"\t{time}", f"\t{1_600_000_000 + place}{zeros}")
    info = import_source(RECBOLE, written(tmp_path, inter, ITEM), tmp_path / "x")
    assert info.origin["timestamps"] == unit
    times = pl.read_parquet(tmp_path / "x" / "interactions.parquet")["timestamp"]
    assert times.to_list() == [1_600_000_000, 1_600_000_002]


@pytest.mark.parametrize(
    ("inter", "item", "message"),
    [
        (INTER.replace("2.0", "soon"), ITEM, r"toy.inter line 3: timestamp 'soon'"),
        (INTER.replace("timestamp", "time"), ITEM, r"toy.inter has no column 'timestamp'"),
        (
            INTER,
            ITEM.replace("movie_title", "label"),
            r"toy.item: none of the columns item_id, label, class is",
        ),
    ],
)
def test_broken_files_are_named(tmp_path: Path, inter: str, item: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_source(RECBOLE, written(tmp_path, inter, item), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_movielens_in_recboles_form_is_movielens(real_data: Path, tmp_path: Path) -> None:
    info = import_source(RECBOLE, real_data / "raw" / "recbole", tmp_path / "x", category="ml-100k", noun="movie")
    assert (info.num_users, info.num_items, info.num_interactions) == (943, 1_682, 100_000)
    log = pl.read_parquet(tmp_path / "x" / "interactions.parquet")
    expected = pl.read_parquet(real_data / "movielens_100k" / "interactions.parquet")
    keys = ["user_id", "item_id", "timestamp"]
    assert log.select(keys).sort(keys).rows() == expected.select(keys).cast(pl.Int64).sort(keys).rows()
