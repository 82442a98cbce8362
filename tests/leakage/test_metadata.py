"""Metadata columns that were made from held-out interactions."""

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from llara.data import Dataset, SplitConfig, load_dataset, split_dataset
from llara.errors import DataError
from llara.leakage.metadata import _grouped_rank_correlation

if TYPE_CHECKING:
    from tests.leakage.conftest import Build, Check


def counted_from(users: list[object], columns: tuple[str, ...] = ("genres",)) -> dict[str, object]:
    return {"metadata_users": {"columns": list(columns), "users": users}}


def test_columns_counted_from_training_users_pass(check: "Check", build: "Build") -> None:
    found = check("metadata", build(origin=counted_from([f"u{user}" for user in range(160)])))
    assert found.level == "ok"
    assert "'genres': counted from 160 users, none of them a validation or test user" in found.message


@pytest.mark.parametrize("user", [160, 180, 199])
def test_columns_counted_from_a_held_out_user_are_a_leak(check: "Check", build: "Build", user: int) -> None:
    found = check("metadata", build(origin=counted_from(["u0", f"u{user}"])))
    assert found.level == "leak"
    assert "'genres': counted from the interactions of 2 users, among them 1 of 40" in found.message
    assert "prompt.item_text" in found.message


def test_the_same_columns_leak_where_every_user_is_judged(check: "Check", build: "Build") -> None:
    dataset = build(origin=counted_from([f"u{user}" for user in range(160)]))
    assert check("metadata", dataset, "leave-one-out").level == "leak"


def test_identifiers_compare_as_texts(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    numbered = log.with_columns(user_id=pl.col("user_id").str.slice(1).cast(pl.Int64))
    assert check("metadata", build(numbered, origin=counted_from([199]))).level == "leak"
    assert check("metadata", build(numbered, origin=counted_from(["199"]))).level == "leak"
    assert check("metadata", build(numbered, origin=counted_from([3]))).level == "ok"


def test_columns_that_no_model_reads_are_not_counted(check: "Check", build: "Build") -> None:
    dataset = build(origin=counted_from(["u199"]))
    assert check("metadata", dataset, columns={"year"}).level == "ok"
    assert check("metadata", dataset, columns=set()).message == "no metadata column is read."
    assert check("metadata", dataset, columns={"genres", "year"}).level == "leak"


@pytest.mark.parametrize("wrong", [["u0"], {"columns": ["tags"]}, {"columns": "tags", "users": []}])
def test_a_malformed_record_is_refused(check: "Check", clean: Dataset, wrong: object) -> None:
    assert clean.folder is not None
    path = clean.folder / "dataset.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "origin": {"metadata_users": wrong}}))
    with pytest.raises(DataError, match=r"metadata_users must be \{columns: .*Import the data again"):
        check("metadata", load_dataset(clean.folder), candidates=[])


@pytest.fixture
def sparse(build: "Build", log: pl.DataFrame, items: pl.DataFrame) -> "Sparse":
    """A catalog in which 100 items were learned from, 40 only held-out users touched, and 60 nobody touched."""
    learned = pl.col("user_id").str.slice(1).cast(pl.Int64) < 160
    place = pl.col("item_id") - 1000
    touched = log.with_columns(item_id=pl.when(learned).then(1000 + place % 100).otherwise(1100 + place % 40))
    more = pl.DataFrame({"item_id": range(1000, 1200), "title": [f"Title {number}" for number in range(200)]})
    return Sparse(build, touched.unique(["user_id", "item_id"], maintain_order=True), more)


class Sparse:
    def __init__(self, build: "Build", log: pl.DataFrame, items: pl.DataFrame) -> None:
        self.build, self.log, self.items = build, log, items
        self.everything = log["item_id"].value_counts()
        held_out = log.filter(pl.col("user_id").str.slice(1).cast(pl.Int64) >= 160)
        self.held_out = held_out["item_id"].value_counts()
        self.training = log.join(held_out, on="user_id", how="anti")["item_id"].value_counts()

    def count(self, counts: pl.DataFrame) -> pl.Series:
        """How often each item occurs, null where it does not."""
        return self.items.join(counts, on="item_id", how="left", maintain_order="left")["count"].cast(pl.Int64)

    def with_column(self, column: pl.Series) -> Dataset:
        return self.build(self.log, self.items.with_columns(column.alias("column")))


def of_kind(counts: pl.Series, kind: str) -> pl.Series:
    """Counts as a column that is empty where there is nothing to count."""
    if kind == "number":
        return counts
    if kind == "zeros":
        return counts.fill_null(0)
    if kind == "float":
        return counts.cast(pl.Float64).fill_null(float("nan"))
    if kind == "flag":
        return counts.is_not_null()
    if kind == "list":
        return pl.Series([["tag"] * (count or 0) for count in counts], dtype=pl.List(pl.String))
    return pl.Series(["|".join(["tag"] * (count or 0)) for count in counts])


@pytest.mark.parametrize("kind", ["number", "zeros", "float", "flag", "list", "text"])
def test_a_column_counted_from_all_users_is_a_leak(check: "Check", sparse: Sparse, kind: str) -> None:
    found = check("metadata", sparse.with_column(of_kind(sparse.count(sparse.everything), kind)))
    assert found.level == "leak"
    assert "has a value for 40 of 40 (100 %) items that only held-out interactions touch" in found.message
    assert "0 of 60" in found.message


@pytest.mark.parametrize("kind", ["number", "zeros", "float", "flag", "list", "text"])
def test_a_column_counted_from_training_users_is_none(check: "Check", sparse: Sparse, kind: str) -> None:
    found = check("metadata", sparse.with_column(of_kind(sparse.count(sparse.training), kind)))
    assert found.level == "ok", found.message


def test_values_that_are_missing_a_little_more_often_are_a_warning(check: "Check", sparse: Sparse) -> None:
    """Well-known items are described more often: 34 of the 60 that nobody touched, and all others."""
    described = pl.Series(["described"] * 174 + [None] * 26)
    found = check("metadata", sparse.with_column(described))
    assert found.level == "warning"
    assert "tells a little" in found.message


def test_a_catalog_without_untouched_items_can_still_be_counted(check: "Check", build: "Build") -> None:
    """Every item was learned from; a column that counts held-out users as well rises with what they chose."""
    clean = build()
    split = split_dataset(clean, SplitConfig())
    everything = np.bincount(clean.log.sequences.items, minlength=151)[1:]
    learned = np.bincount(split.train_sequences.items, minlength=151)[1:]
    ids = clean.catalog.item_ids[1:]
    for counts, level in ((everything, "warning"), (learned, "ok")):
        column = pl.DataFrame({"item_id": ids, "title": clean.catalog.titles[1:], "listeners": counts})
        found = check("metadata", build(items=column))
        assert found.level == level
        if level == "warning":
            assert "'listeners' rises with the held-out interactions" in found.message
            assert "(rank correlation 1.00)" in found.message


def test_popularity_outside_of_the_log_is_no_leak(check: "Check", build: "Build", items: pl.DataFrame) -> None:
    """Votes that follow the log's popularity, but were not counted from it."""
    rng = np.random.default_rng(0)
    fame = 1.0 / np.arange(1, 151)
    chosen = np.array([rng.choice(150, size=12, replace=False, p=fame / fame.sum()) for _ in range(200)])
    users, places = np.indices(chosen.shape).reshape(2, -1)
    log = pl.DataFrame({"user_id": users, "item_id": 1000 + chosen.ravel(), "timestamp": 1000 * users + places})
    votes = pl.DataFrame({"item_id": range(1000, 1150), "votes": (fame * rng.lognormal(0, 0.5, 150) * 1e6).astype(int)})
    found = check("metadata", build(log, items.join(votes, on="item_id")), candidates=[])
    assert found.level == "ok", found.message


def test_a_column_that_knows_as_little_as_fame_does_is_none(check: "Check", build: "Build") -> None:
    """It rises with the held-out interactions, significantly and a little, as the number of Steam's tags does."""
    rng = np.random.default_rng(0)
    chosen = 1000 + np.array([rng.permutation(2000)[:12] for _ in range(400)])
    users, places = np.indices(chosen.shape).reshape(2, -1)
    log = pl.DataFrame({"user_id": users, "item_id": chosen.ravel(), "timestamp": 1000 * users + places})
    held_out = np.bincount(chosen[320:].ravel(), minlength=3000)[1000:]
    items = pl.DataFrame({"item_id": range(1000, 3000), "title": [f"Title {number}" for number in range(2000)]})
    for noise, level in ((0.1, "warning"), (2.0, "ok")):
        column = pl.Series("fame", 10 + held_out + rng.normal(0, noise, 2000))
        assert check("metadata", build(log, items.with_columns(column))).level == level


def test_a_handful_of_items_proves_nothing(check: "Check", build: "Build") -> None:
    rng = np.random.default_rng(0)
    chosen = rng.integers(1000, 1008, size=(40, 5))
    users, places = np.indices(chosen.shape).reshape(2, -1)
    log = pl.DataFrame({"user_id": users, "item_id": chosen.ravel(), "timestamp": 1000 * users + places})
    items = pl.DataFrame({"item_id": range(1000, 1008), "title": [f"Title {number}" for number in range(8)]})
    counts = pl.Series("count", np.bincount(chosen.ravel())[1000:])
    assert check("metadata", build(log, items.with_columns(counts)), candidates=[]).level == "ok"


def test_rank_correlation_within_groups_by_hand() -> None:
    """Group 0: ranks -1, 0, 1 of both; group 1: -1/2, 1/2 against each other; group 2 has one item and says nothing."""
    amount = np.array([1.0, 5.0, 9.0, 1.0, 2.0, 7.0, np.nan])
    held_out = np.array([0, 1, 2, 4, 3, 9, 5])
    correlation, p_value = _grouped_rank_correlation(amount, held_out, groups=np.array([0, 0, 0, 1, 1, 2, 0]))
    product, spread = 2 - 0.5, 2 + 0.5
    variance = 2 * 2 / 2 + 0.5 * 0.5 / 1
    assert correlation == pytest.approx(product / spread)
    assert p_value == pytest.approx(norm.sf(product / np.sqrt(variance)))


def test_many_telling_columns_are_summed_up(check: "Check", sparse: Sparse) -> None:
    counts = sparse.count(sparse.everything)
    items = sparse.items.with_columns(counts.alias(f"count{number}") for number in range(5))
    found = check("metadata", sparse.build(sparse.log, items))
    assert "So it is with 2 others" in found.message
    assert {entry["column"] for entry in found.numbers["found"]} == {f"count{number}" for number in range(5)}  # type: ignore[attr-defined]
