"""The paper's MovieLens rows, from the release's order and from the raw ratings."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data import Dataset, Examples, Sequences, Split, SplitConfig, load_dataset, split_dataset
from llara.ingest import LogColumns, ShapeConfig, TextFormat, import_log, import_rows

PADDING = 1682
RELEASED = {"train": "train", "validation": "val", "test": "test"}


def released_rows(folder: Path, split: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "movielens_100k" / "llara_rows.parquet").filter(split=RELEASED[split])


def in_source_ids(examples: Examples, dataset: Dataset) -> tuple[list[list[int]], list[int], list[int]]:
    """Histories padded as in the release, targets and users, all by the source's identifiers."""
    ids = np.array([PADDING, *dataset.catalog.item_ids[1:]])
    users = np.array(dataset.log.user_ids)
    return ids[examples.history].tolist(), ids[examples.target].tolist(), users[examples.user_index].tolist()


@pytest.fixture(scope="module")
def from_release_order(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    source = real_data / "movielens_100k"
    folder = tmp_path_factory.mktemp("movielens") / "sequences"
    import_log(
        source / "llara_sequences.parquet",
        folder,
        items=source / "items.parquet",
        columns=LogColumns(item="llara_item_id"),
        noun="movie",
    )
    return load_dataset(folder)


@pytest.fixture(scope="module")
def from_raw_ratings(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ratings >= 3 without the first line of `u.data`, which the release lost; ids as in the release."""
    source = real_data / "movielens_100k"
    folder = tmp_path_factory.mktemp("movielens")
    ratings = pl.read_parquet(source / "interactions.parquet").filter(pl.col("file_row") > 0)
    ratings.with_columns(item_id=pl.col("item_id") - 1).write_parquet(folder / "ratings.parquet")
    items = pl.read_parquet(source / "items.parquet").with_columns(item_id=pl.col("item_id") - 1)
    items.write_parquet(folder / "items.parquet")
    import_log(
        folder / "ratings.parquet",
        folder / "raw",
        items=folder / "items.parquet",
        shape=ShapeConfig(min_rating=3),
        noun="movie",
    )
    return load_dataset(folder / "raw")


@pytest.fixture(scope="module")
def paper_split(from_release_order: Dataset) -> Split:
    return split_dataset(from_release_order, SplitConfig(min_history=0))


def in_file_order(examples: Examples, dataset: Dataset, file: pl.DataFrame) -> Examples:
    """Rows with their users in the order in which the file first names them, as the release lists them."""
    first_named = {user: place for place, user in enumerate(file["user_id"].unique(maintain_order=True))}
    places = np.array([first_named[user] for user in dataset.log.user_ids])
    return examples.select(np.argsort(places[examples.user_index], kind="stable"))


@pytest.mark.parametrize(("split", "count"), [("train", 68_388), ("validation", 94), ("test", 95)])
def test_the_papers_movielens_rows_are_reproduced_exactly(
    real_data: Path, from_release_order: Dataset, paper_split: Split, split: str, count: int
) -> None:
    expected = released_rows(real_data, split)
    sequences = pl.read_parquet(real_data / "movielens_100k" / "llara_sequences.parquet")
    examples = in_file_order(getattr(paper_split, split), from_release_order, sequences)
    histories, targets, users = in_source_ids(examples, from_release_order)
    assert len(examples) == len(expected) == count
    assert histories == expected["seq"].to_list()
    assert targets == expected["next"].to_list()
    assert users == expected["user_id"].to_list()
    recorded = expected["len_seq"].to_numpy()
    # the release records length 1 for the empty history of a user's first row
    assert (np.maximum(examples.history_length, 1) == recorded).all()


def test_rows_with_at_least_three_earlier_items_are_those_of_the_paper(from_release_order: Dataset) -> None:
    split = split_dataset(from_release_order, SplitConfig())
    assert (len(split.train), len(split.validation), len(split.test)) == (66_126, 94, 95)


def test_the_log_without_the_lost_line_has_82519_interactions(
    from_release_order: Dataset, from_raw_ratings: Dataset
) -> None:
    assert from_release_order.info.num_interactions == from_raw_ratings.info.num_interactions == 82_519
    assert from_raw_ratings.info.num_users == 943
    assert from_raw_ratings.info.num_items == 1_682


def test_the_whole_file_has_one_interaction_more(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "movielens_100k"
    info = import_log(
        source / "interactions.parquet",
        tmp_path / "whole",
        items=source / "items.parquet",
        shape=ShapeConfig(min_rating=3),
        noun="movie",
    )
    assert info.num_interactions == 82_520


def test_the_raw_ratings_give_the_papers_users_per_split(
    from_raw_ratings: Dataset, from_release_order: Dataset, paper_split: Split
) -> None:
    split = split_dataset(from_raw_ratings, SplitConfig(min_history=0))
    assert len(split.train_sequences) == 754
    for part, count in (("train", 754), ("validation", 94), ("test", 95)):
        raw = {from_raw_ratings.log.user_ids[user] for user in getattr(split, part).user_index}
        released = {from_release_order.log.user_ids[user] for user in getattr(paper_split, part).user_index}
        assert raw == released
        assert len(raw) == count


def test_a_stable_order_of_ties_changes_most_rows(
    from_raw_ratings: Dataset, from_release_order: Dataset, paper_split: Split
) -> None:
    """The release sorted unstably: 162 of 189 evaluation rows and 90.9 % of the training rows are others."""
    stable = split_dataset(from_raw_ratings, SplitConfig(min_history=0))
    changed = {}
    for part in ("train", "validation", "test"):
        ours, theirs = (
            dict(zip(zip(users, positions(users), strict=True), zip(histories, targets, strict=True), strict=True))
            for histories, targets, users in (
                in_source_ids(getattr(stable, part), from_raw_ratings),
                in_source_ids(getattr(paper_split, part), from_release_order),
            )
        )
        assert ours.keys() == theirs.keys()
        changed[part] = sum(ours[row] != theirs[row] for row in ours)
    assert changed["validation"] + changed["test"] == 162
    assert changed["train"] / 68_388 == pytest.approx(0.909, abs=0.001)


def positions(users: list[int]) -> list[int]:
    """The how-manieth row of its user each row is."""
    seen: dict[int, int] = {}
    result = []
    for user in users:
        result.append(seen.get(user, 0))
        seen[user] = result[-1] + 1
    return result


def test_released_movielens_rows_are_read_as_they_are(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "movielens_100k"
    import_rows(
        source / "llara_rows.parquet",
        tmp_path / "rows",
        items=source / "items.parquet",
        item="llara_item_id",
        padding=PADDING,
        noun="movie",
    )
    dataset = load_dataset(tmp_path / "rows")
    split = split_dataset(dataset, SplitConfig(method="rows", min_history=0))
    for part in RELEASED:
        expected = released_rows(real_data, part)
        histories, targets, _ = in_source_ids(getattr(split, part), dataset)
        assert histories == expected["seq"].to_list()
        assert targets == expected["next"].to_list()


def test_chained_movielens_rows_are_the_training_users(
    real_data: Path, tmp_path: Path, from_release_order: Dataset, paper_split: Split
) -> None:
    source = real_data / "movielens_100k"
    import_rows(
        source / "llara_rows.parquet",
        tmp_path / "rows",
        items=source / "items.parquet",
        item="llara_item_id",
        padding=PADDING,
        noun="movie",
    )
    dataset = load_dataset(tmp_path / "rows")
    chained = split_dataset(dataset, SplitConfig(method="rows")).train_sequences
    assert len(chained) == 754
    assert id_sequences(chained, dataset) == id_sequences(paper_split.train_sequences, from_release_order)


def id_sequences(sequences: Sequences, dataset: Dataset) -> list[tuple[int, ...]]:
    ids = np.array(dataset.catalog.item_ids)
    return sorted(tuple(ids[row].tolist()) for row in sequences)


def test_raw_latin1_files_import_to_the_same_counts(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "raw" / "ml-100k"
    info = import_log(
        raw / "u.data",
        tmp_path / "raw",
        items=raw / "u.item",
        columns=LogColumns(user="1", item="2", rating="3", time="4", items_item="1", title="2"),
        noun="movie",
        text=TextFormat(header=False),
        items_text=TextFormat(header=False, separator="|", encoding="latin-1", quotes=False),
    )
    assert (info.num_users, info.num_items, info.num_interactions) == (943, 1_682, 100_000)
