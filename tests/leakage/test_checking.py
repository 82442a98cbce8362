"""What `data check` finds."""

from pathlib import Path

import polars as pl

from llara.data import write_dataset
from llara.leakage import check_dataset


def messages(folder: Path, log: pl.DataFrame, items: pl.DataFrame, origin: dict[str, object] | None = None) -> str:
    write_dataset(folder, interactions=log, items=items, name="x", noun="item", origin=origin or {}, force=True)
    findings = check_dataset(folder)
    assert all(finding.level == "warning" for finding in findings)
    return "\n".join(finding.message for finding in findings)


def test_a_broken_folder_is_one_error(toy_folder: Path) -> None:
    (toy_folder / "items.parquet").unlink()
    (finding,) = check_dataset(toy_folder)
    assert finding.level == "error"
    assert "has no items.parquet" in finding.message


def test_each_doubt_is_a_warning(tmp_path: Path, toy_interactions: pl.DataFrame, toy_items: pl.DataFrame) -> None:
    clean = messages(tmp_path / "x", toy_interactions, toy_items)
    assert clean == "the catalog has 30 items only; 20 candidates need at least 19 that a user has not seen."
    few = toy_interactions.filter(pl.col("item_id") < 20)
    assert "items have no interaction" in messages(tmp_path / "x", few, toy_items)
    assert "at most 3 interactions" in messages(tmp_path / "x", few, toy_items)
    milliseconds = toy_interactions.with_columns(timestamp=pl.lit(1_600_000_000_000))
    found = messages(tmp_path / "x", milliseconds, toy_items)
    assert "Are these milliseconds?" in found
    assert "100% of neighboring interactions of a user have the same time" in found
    positions = messages(tmp_path / "x", milliseconds, toy_items, {"timestamps": "positions"})
    assert "milliseconds" not in positions


def test_users_with_one_interaction_are_no_error(tmp_path: Path, toy_items: pl.DataFrame) -> None:
    log = pl.DataFrame({"user_id": [1, 2], "item_id": [10, 11], "timestamp": [1, 2]})
    assert "2 of 2 users have at most 3 interactions" in messages(tmp_path / "x", log, toy_items)
