"""A toy data set that is small enough to check by hand."""

from pathlib import Path

import polars as pl
import pytest

from llara.data import Dataset, load_dataset, write_dataset


@pytest.fixture
def toy_items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": list(range(10, 40)),
            "title": [f"Title {number}" for number in range(30)],
            "year": [1990 + number for number in range(30)],
        }
    )


@pytest.fixture
def toy_interactions() -> pl.DataFrame:
    """Ten users, user 100 + u starts at time u and has 6 interactions; the file is in an order of its own."""
    users, items, times = [], [], []
    for user in range(10):
        for position in range(6):
            users.append(100 + user)
            items.append(10 + (user * 3 + position * 5) % 30)
            times.append(user + 100 * position)
    frame = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times})
    return frame.sample(fraction=1.0, shuffle=True, seed=3)


@pytest.fixture
def toy_folder(tmp_path: Path, toy_items: pl.DataFrame, toy_interactions: pl.DataFrame) -> Path:
    folder = tmp_path / "toy"
    write_dataset(
        folder, interactions=toy_interactions, items=toy_items, name="toy", noun="book", origin={"by": "hand"}
    )
    return folder


@pytest.fixture
def toy(toy_folder: Path) -> Dataset:
    return load_dataset(toy_folder)
