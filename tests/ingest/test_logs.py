"""From a publisher's files to a dataset folder."""

from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data import load_dataset
from llara.errors import ConfigError, DataError
from llara.ingest import LogColumns, ShapeConfig, TextFormat, import_log, read_table

LOG = "user_id,item_id,timestamp,title\nu1,a,5,Alpha\nu2,b,1,Beta\nu1,b,2,Beta (again)\n"
ITEMS = "id,name,title,year\na,Alpha,long Alpha,1990\nb,Beta,long Beta,1991\n"


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_a_log_that_names_its_titles_needs_no_items_file(tmp_path: Path) -> None:
    info = import_log(text(tmp_path / "log.csv", LOG), tmp_path / "mine", noun="book")
    assert (info.name, info.num_users, info.num_items, info.num_interactions) == ("mine", 2, 2, 3)
    dataset = load_dataset(tmp_path / "mine")
    assert dataset.log.user_ids == ("u2", "u1")
    assert [dataset.catalog.item_ids[item] for item in dataset.log.sequences[1]] == ["b", "a"]
    assert dataset.catalog.titles[dataset.catalog.index_of("b")] == "Beta"


def test_columns_are_mapped_and_names_that_are_taken_move_aside(tmp_path: Path) -> None:
    log = text(tmp_path / "log.csv", LOG.replace("user_id,item_id,timestamp", "who,what,when"))
    items = text(tmp_path / "items.csv", ITEMS)
    import_log(
        log,
        tmp_path / "x",
        items=items,
        columns=LogColumns(user="who", item="what", time="when", items_item="id", title="name"),
        name="X",
    )
    dataset = load_dataset(tmp_path / "x")
    assert dataset.info.name == "X"
    assert dataset.catalog.metadata.columns == ["source_title", "year"]
    index = dataset.catalog.index_of("a")
    assert dataset.catalog.texts("{title} ({source_title}; {year})")[index] == "Alpha (long Alpha; 1990)"


def test_low_ratings_are_left_out_and_the_rating_is_kept(tmp_path: Path) -> None:
    log = text(tmp_path / "log.csv", "user_id,item_id,timestamp,title,rating\n1,1,1,A,2.5\n1,2,2,B,3\n2,1,3,A,5\n")
    info = import_log(log, tmp_path / "x", shape=ShapeConfig(min_rating=3))
    assert info.num_interactions == 2
    assert info.origin["shape"] == {**ShapeConfig().recorded(), "min_rating": 3}
    assert pl.read_parquet(tmp_path / "x" / "interactions.parquet")["rating"].to_list() == [3.0, 5.0]
    with pytest.raises(DataError, match="no interaction is rated at least 9"):
        import_log(log, tmp_path / "y", shape=ShapeConfig(min_rating=9))


def test_a_minimum_rating_needs_a_rating(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--min-rating needs a rating column"):
        import_log(text(tmp_path / "log.csv", LOG), tmp_path / "x", shape=ShapeConfig(min_rating=3))


def test_without_times_the_order_of_the_file_counts(tmp_path: Path) -> None:
    import_log(text(tmp_path / "log.csv", LOG), tmp_path / "x", columns=LogColumns(time=None))
    dataset = load_dataset(tmp_path / "x")
    assert dataset.log.user_ids == ("u1", "u2")
    assert [dataset.catalog.item_ids[item] for item in dataset.log.sequences[0]] == ["a", "b"]


def test_items_unknown_to_the_catalog_are_refused_or_dropped(tmp_path: Path) -> None:
    log = text(tmp_path / "log.csv", LOG + "u3,c,9,Gamma\n")
    items = text(tmp_path / "items.csv", ITEMS)
    with pytest.raises(DataError, match=r"log.csv line 5: item 'c' is not in the items \(1 such rows\)"):
        import_log(log, tmp_path / "x", items=items, columns=LogColumns(items_item="id"))
    info = import_log(log, tmp_path / "x", items=items, columns=LogColumns(items_item="id"), drop_unknown_items=True)
    assert (info.num_users, info.num_interactions, info.origin["dropped_unknown_items"]) == (2, 3, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LOG.replace("timestamp", "time"), r"log.csv has no column 'timestamp'; found 'user_id', .* with --time"),
        (LOG.replace(",2,", ",soon,"), r"log.csv line 4: timestamp 'soon' \(timestamp\) is neither"),
        (LOG.replace("u2", ""), r"log.csv line 3: user_id is missing"),
        (LOG.replace("Beta\n", " \n"), r"log.csv line 3: title is empty or missing"),
        (LOG.replace(",title", ",name"), r"no column 'title', and no items file is given"),
        (LOG.split("\n", maxsplit=1)[0] + "\n", r"has no rows"),
    ],
)
def test_a_broken_log_is_named_and_nothing_is_left_behind(tmp_path: Path, content: str, message: str) -> None:
    log = text(tmp_path / "log.csv", content)
    with pytest.raises(DataError, match=message):
        import_log(log, tmp_path / "x")
    assert list(tmp_path.iterdir()) == [log]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ITEMS + "a,Again,x,1\n", r"items.csv line 4: item_id 'a' appears again \(first at items.csv line 2\)"),
        (ITEMS.replace("Beta", "", 1), r"items.csv line 3: title is empty or missing"),
        (ITEMS.replace("name", "nom"), r"items.csv has no column 'name'; .* with --title"),
        (ITEMS.replace("id,", "key,"), r"items.csv has no column 'id'; .* with --items-item"),
    ],
)
def test_a_broken_catalog_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    items = text(tmp_path / "items.csv", content)
    with pytest.raises(DataError, match=message):
        import_log(
            text(tmp_path / "log.csv", LOG),
            tmp_path / "x",
            items=items,
            columns=LogColumns(items_item="id", title="name"),
        )


AWKWARD = ['say "hi", twice', "a\tb::c|d", "{slot} [HistoryEmb]", "</s>", "naïve 日本", "'", "\\n", "#5", "nan", "null"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_awkward_titles_survive_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log.{suffix}"
    write_as(path, AWKWARD)
    import_log(path, tmp_path / "x")
    catalog = load_dataset(tmp_path / "x").catalog
    titles = [catalog.titles[catalog.index_of(number)] for number in range(len(AWKWARD))]
    assert titles == [title.replace("\t", " ") for title in AWKWARD]


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)


@given(titles=st.lists(WORDS, min_size=1, max_size=6), suffix=st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_text_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    write_as(path, titles)
    assert read_table(path).frame["title"].to_list() == titles


def write_as(path: Path, titles: list[str]) -> None:
    frame = pl.DataFrame({"user_id": 1, "item_id": range(len(titles)), "timestamp": 1, "title": titles})
    if path.suffix in (".csv", ".tsv"):
        frame.write_csv(path, separator="," if path.suffix == ".csv" else "\t", quote_style="always")
    else:
        getattr(frame, {".jsonl": "write_ndjson", ".parquet": "write_parquet"}[path.suffix])(path)


def test_an_exported_folder_imports_to_the_same_data(tmp_path: Path, toy_folder: Path) -> None:
    again = import_log(
        toy_folder / "interactions.parquet", tmp_path / "again", items=toy_folder / "items.parquet", name="toy"
    )
    before = load_dataset(toy_folder)
    assert again.interactions_sha256 == before.info.interactions_sha256
    assert again.items_sha256 == before.info.items_sha256


def test_movielens_style_files_import_with_their_separators(tmp_path: Path) -> None:
    ratings = text(tmp_path / "ratings.dat", "1::10::5::978300760\n1::11::2::978302109\n")
    movies = tmp_path / "movies.dat"
    movies.write_bytes("10::Amélie (2001)::Comedy|Romance\n11::Toy: Story::Animation\n".encode("latin-1"))
    import_log(
        ratings,
        tmp_path / "x",
        items=movies,
        columns=LogColumns(user="1", item="2", rating="3", time="4", items_item="1", title="2"),
        text=TextFormat(separator="::", header=False, encoding="latin-1"),
    )
    catalog = load_dataset(tmp_path / "x").catalog
    assert catalog.texts("{title} ({3})")[catalog.index_of(10)] == "Amélie (2001) (Comedy, Romance)"


GAPPED = "user_id,item_id,timestamp,title\na,1,0,One\na,,1,\na,2,2,Two\nb,1,0,One\nb,2,1,Two\nc,,5,\nc,1,3,One\n"


def test_rows_without_an_item_are_refused_dropped_or_end_their_users_histories(tmp_path: Path) -> None:
    log = text(tmp_path / "log.csv", GAPPED)
    items = text(tmp_path / "items.csv", "item_id,title\n1,One\n2,Two\n")
    with pytest.raises(DataError, match=r"log.csv line 3: item_id is missing"):
        import_log(log, tmp_path / "x", items=items)
    expected = {
        "drop": [("a", 1, 0), ("a", 2, 2), ("b", 1, 0), ("b", 2, 1), ("c", 1, 3)],
        "cut": [("a", 1, 0), ("b", 1, 0), ("b", 2, 1), ("c", 1, 3)],
    }
    modes: tuple[Literal["drop", "cut"], ...] = ("drop", "cut")
    for mode in modes:
        info = import_log(log, tmp_path / mode, items=items, missing_items=mode)
        assert pl.read_parquet(tmp_path / mode / "interactions.parquet").rows() == expected[mode]
        assert info.origin["dropped_rows_at_missing_items"] == 7 - len(expected[mode])


def test_places_in_an_order_are_no_times(tmp_path: Path) -> None:
    info = import_log(text(tmp_path / "log.csv", LOG), tmp_path / "x", columns=LogColumns(time_unit="order"))
    assert info.origin["timestamps"] == "positions"
