"""What `data describe` says."""

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from llara.data import Dataset, describe_dataset, load_dataset, plot_description, write_dataset


def test_the_toy_data_set_is_described(toy: Dataset) -> None:
    description = describe_dataset(toy)
    assert (description.num_users, description.num_items, description.num_interactions) == (10, 30, 60)
    assert description.density == pytest.approx(60 / 300)
    assert description.history_length.quantiles[0.5] == 6
    assert (description.first_time, description.last_time) == ("1970-01-01", "1970-01-01")
    assert description.top_tenth_ratio == pytest.approx(0.1)
    assert description.num_rows is None
    for distribution, count in ((description.history_length, 10), (description.popularity, description.num_used_items)):
        assert sum(distribution.counts) == count
        assert len(distribution.edges) == len(distribution.counts) + 1
    json.dumps(asdict(description))


def test_rows_and_an_order_without_times_are_described(
    tmp_path: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame
) -> None:
    rows = pl.DataFrame(
        {"split": ["train", "test"], "user_id": [100, 101], "history": [[10], [11]], "target": [12, 13]}
    )
    origin: dict[str, object] = {"timestamps": "positions"}
    write_dataset(
        tmp_path / "x", interactions=toy_interactions, items=toy_items, rows=rows, name="x", noun="item", origin=origin
    )
    description = describe_dataset(load_dataset(tmp_path / "x"))
    assert description.num_rows == {"train": 1, "validation": 0, "test": 1}
    assert description.first_time is None


def test_a_time_beyond_the_calendar_is_given_in_seconds(
    tmp_path: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame
) -> None:
    log = toy_interactions.with_columns(timestamp=pl.lit(10**17))
    write_dataset(tmp_path / "x", interactions=log, items=toy_items, name="x", noun="item", origin={})
    assert describe_dataset(load_dataset(tmp_path / "x")).last_time == "100000000000000000 s"


def test_the_picture_is_a_png_file(tmp_path: Path, toy: Dataset) -> None:
    plot_description(describe_dataset(toy), tmp_path / "toy.png")
    assert (tmp_path / "toy.png").read_bytes().startswith(b"\x89PNG")
