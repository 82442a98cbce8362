"""Dataset folders: what is written is what is read, and what is broken is named."""

import json
from pathlib import Path

import polars as pl
import pytest

from llara.data import Dataset, load_dataset, sha256_of, write_dataset
from llara.errors import ConfigError, DataError


def write(folder: Path, log: pl.DataFrame, items: pl.DataFrame, *, noun: str = "book", force: bool = False) -> None:
    write_dataset(folder, interactions=log, items=items, name="toy", noun=noun, origin={}, force=force)


def rewrite(folder: Path, name: str, frame: pl.DataFrame) -> None:
    """Change a file of the folder, and the hash that vouches for it."""
    frame.write_parquet(folder / name)
    info = json.loads((folder / "dataset.json").read_text())
    info[f"{name.removesuffix('.parquet')}_sha256"] = sha256_of(folder / name)
    (folder / "dataset.json").write_text(json.dumps(info))


def test_what_is_written_is_read(toy: Dataset, toy_folder: Path) -> None:
    info = json.loads((toy_folder / "dataset.json").read_text())
    assert (info["num_users"], info["num_items"], info["num_interactions"]) == (10, 30, 60)
    assert info["interactions_sha256"] == sha256_of(toy_folder / "interactions.parquet")
    assert toy.info.origin == {"by": "hand"}
    assert toy.folder == toy_folder
    assert toy.rows is None
    first = toy.log.sequences[0]
    assert [toy.catalog.item_ids[item] for item in first] == [10, 15, 20, 25, 30, 35]


def test_other_types_are_made_into_the_folders_types(tmp_path: Path, toy_items: pl.DataFrame) -> None:
    log = pl.DataFrame(
        {
            "user_id": ["007", "7"],
            "item_id": [10.0, 11.0],
            "timestamp": ["2020-01-01", "2020-01-01T00:00:01"],
            "rating": [1, 2],
        }
    )
    write(tmp_path / "x", log, toy_items)
    frame = pl.read_parquet(tmp_path / "x" / "interactions.parquet")
    assert frame.schema == {"user_id": pl.String, "item_id": pl.Int64, "timestamp": pl.Int64, "rating": pl.Float64}
    assert frame["timestamp"].to_list() == [1577836800, 1577836801]
    assert load_dataset(tmp_path / "x").log.user_ids == ("007", "7")


def test_an_existing_folder_is_refused_and_survives(
    toy_folder: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame
) -> None:
    before = sha256_of(toy_folder / "interactions.parquet")
    with pytest.raises(ConfigError, match="exists already"):
        write(toy_folder, toy_interactions, toy_items)
    with pytest.raises(DataError):
        write(toy_folder, toy_interactions.drop("timestamp"), toy_items, force=True)
    assert sha256_of(toy_folder / "interactions.parquet") == before
    write(toy_folder, toy_interactions.head(5), toy_items, force=True)
    assert load_dataset(toy_folder).info.num_interactions == 5


def test_a_noun_that_no_prompt_knows_is_refused(
    tmp_path: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame
) -> None:
    with pytest.raises(ConfigError, match="unknown noun 'film'; expected one of movie, game"):
        write(tmp_path / "x", toy_interactions, toy_items, noun="film")


def test_a_folder_that_is_none_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"it has no dataset.json"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not of format 1"),
        ('{"format": 9}', "is not of format 1"),
        ('{"format": 1, "name": "x"}', "lacks the key 'noun'"),
    ],
)
def test_a_broken_description_is_named(toy_folder: Path, content: str, message: str) -> None:
    (toy_folder / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(toy_folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("noun", "film", "'noun' is 'film', expected one of movie, game, .*--noun"),
        ("noun", None, "'noun' is None, expected a text"),
        ("num_users", 11, "'num_users' is 11, but the files have 10"),
        ("num_items", 29, "'num_items' is 29, but the files have 30"),
        ("num_interactions", 6_000, "'num_interactions' is 6,000, but the files have 60"),
        ("num_items", "30", "'num_items' is '30', expected a whole number"),
        ("num_items", True, "'num_items' is True, expected a whole number"),
        ("items_sha256", 5, "'items_sha256' is 5, expected a text"),
        ("rows_sha256", 5, "'rows_sha256' is 5, expected a text or null"),
        ("split", [], "'split' is \\[\\], expected a mapping"),
    ],
)
def test_a_key_with_another_value_than_it_can_have_is_named(
    toy_folder: Path, key: str, value: object, message: str
) -> None:
    info = json.loads((toy_folder / "dataset.json").read_text())
    (toy_folder / "dataset.json").write_text(json.dumps({**info, key: value}))
    with pytest.raises(DataError, match=rf"dataset.json: {message}"):
        load_dataset(toy_folder)


def test_a_log_of_which_nothing_is_left_is_told_with_its_file(tmp_path: Path, toy_items: pl.DataFrame) -> None:
    log = pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": pl.Int64})
    origin: dict[str, object] = {"interactions": "log.csv", "dropped_unknown_items": 7, "dropped_items": 0}
    with pytest.raises(DataError, match=r"no interaction is left for .*x from log.csv: dropped_unknown_items is 7\."):
        write_dataset(tmp_path / "x", interactions=log, items=toy_items.head(0), name="x", noun="book", origin=origin)


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet"])
def test_missing_and_changed_files_are_named(toy_folder: Path, name: str) -> None:
    (toy_folder / name).write_bytes((toy_folder / name).read_bytes() + b"x")
    with pytest.raises(DataError, match=rf"{name} is not the file that dataset.json describes"):
        load_dataset(toy_folder)
    (toy_folder / name).unlink()
    with pytest.raises(DataError, match=f"has no {name}"):
        load_dataset(toy_folder)


def test_a_truncated_parquet_file_is_named(toy_folder: Path) -> None:
    path = toy_folder / "items.parquet"
    path.write_bytes(path.read_bytes()[:50])
    info = json.loads((toy_folder / "dataset.json").read_text())
    info["items_sha256"] = sha256_of(path)
    (toy_folder / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"items.parquet is not a readable Parquet file"):
        load_dataset(toy_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items.drop("title"), r"items.parquet has no column 'title'; found 'item_id', 'year'"),
        (
            lambda items: pl.concat([items, items[3:5]]),
            r"row 31: item_id 13 appears again \(first at .* row 4\); 2 such",
        ),
        (lambda items: items.with_columns(title=pl.lit(" \n")), "row 1: title is empty or missing"),
        (lambda items: items.with_columns(title=pl.lit(None, dtype=pl.String)), "row 1: title is empty or missing"),
        (lambda items: items.head(0), "items.parquet has no rows"),
        (lambda items: items.with_columns(item_id=pl.lit(None, dtype=pl.Int64)), "row 1: item_id is missing"),
        (lambda items: items.with_columns(pl.col("item_id") + 0.5), "item_id 10.5 is not a whole number"),
        (lambda items: items.with_columns(item_id=pl.lit([1])), r"column 'item_id' is List\(Int64\)"),
    ],
)
def test_broken_items_are_named_with_their_row(toy_folder: Path, toy_items: pl.DataFrame, change, message: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    rewrite(toy_folder, "items.parquet", change(toy_items))
    with pytest.raises(DataError, match=message):
        load_dataset(toy_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.drop("user_id"), "interactions.parquet has no column 'user_id'"),
        (lambda log: log.with_columns(item_id=pl.lit(99)), r"row 1: item 99 is not in the items \(60 such rows\)"),
        (lambda log: log.with_columns(item_id=pl.lit("x")), "row 1: item 'x' is not in the items"),
        (lambda log: log.head(0), "interactions.parquet has no rows"),
        (lambda log: log.with_columns(timestamp=pl.lit("soon")), "row 1: timestamp 'soon'"),
        (lambda log: log.with_columns(timestamp=pl.lit(float("nan"))), "row 1: timestamp nan"),
        (lambda log: log.with_columns(rating=pl.lit(float("nan"))), "row 1: rating nan is not a number"),
        (lambda log: log.with_columns(user_id=pl.lit(2.0**70)), "does not fit 64 bits"),
    ],
)
def test_broken_interactions_are_named_with_their_row(  # type: ignore[no-untyped-def]
    toy_folder: Path,
    toy_interactions: pl.DataFrame,
    change,  # noqa: ANN001
    message: str,
) -> None:
    rewrite(toy_folder, "interactions.parquet", change(toy_interactions))
    with pytest.raises(DataError, match=message):
        load_dataset(toy_folder)


def test_rows_must_fit_items_and_users(tmp_path: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame) -> None:
    good = pl.DataFrame({"split": ["train"], "user_id": [100], "history": [[10, 11]], "target": [12]})
    for change, message in (
        (good.with_columns(split=pl.lit("val")), "split 'val' is none of train, validation, test"),
        (good.with_columns(target=pl.lit(99)), "item 99 is not in the items"),
        (good.with_columns(history=pl.lit([10, 98])), r"rows row 1 \(history\): item 98"),
        (good.with_columns(history=pl.lit(10)), "expected a list"),
        (good.with_columns(user_id=pl.lit(5)), "user 5 has no interactions"),
    ):
        with pytest.raises(DataError, match=message):
            write_dataset(
                tmp_path / "x",
                interactions=toy_interactions,
                items=toy_items,
                rows=change,
                name="x",
                noun="book",
                origin={},
            )
    assert list(tmp_path.iterdir()) == []
