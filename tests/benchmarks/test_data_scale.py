"""The benchmark of the data path: what it generates, how it measures, and one tiny run from end to end."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks import data_scale
from benchmarks.generated_log import LogShape, chunks, write_log
from benchmarks.measuring import growth_exponent, measure

SHAPE = LogShape(rows=5000, users=700, items=50)


def test_every_user_appears_and_popularity_is_zipf() -> None:
    log = pl.concat(chunks(SHAPE, rows_at_once=600))
    assert len(log) == 5000
    assert sorted(log["user_id"].unique()) == list(range(1, 701))
    assert log["item_id"].is_between(1, 50).all()
    share = log["item_id"].value_counts(sort=True)["count"][0] / len(log)
    assert share == pytest.approx(1 / sum(1 / rank for rank in range(1, 51)), abs=0.03)
    assert log["user_id"].value_counts(sort=True)["count"][0] > 30


def test_the_same_shape_gives_the_same_log_in_every_form(tmp_path: Path) -> None:
    write_log(tmp_path, SHAPE)
    write_log(tmp_path, LogShape(rows=5000, users=700, items=50, form="parquet"))
    log = pl.read_csv(tmp_path / "interactions.csv")
    assert_frame_equal(log, pl.read_parquet(tmp_path / "interactions.parquet"))
    assert_frame_equal(log, pl.concat(chunks(SHAPE)))
    assert set(log["item_id"]) <= set(pl.read_csv(tmp_path / "items.csv")["item_id"])


def test_text_identifiers_have_fourteen_characters() -> None:
    log = next(chunks(LogShape(rows=30, users=7, items=5, ids="text")))
    assert log["user_id"].str.contains(r"^u\d{13}$").all()
    assert log["item_id"].str.contains(r"^i\d{13}$").all()


def test_the_growth_exponent_is_that_of_a_power() -> None:
    assert growth_exponent({size: 3.0 * size**1.5 for size in (10, 100, 1000)}) == pytest.approx(1.5)
    assert growth_exponent({10: 7.0, 20: 14.0}) == pytest.approx(1.0)


def test_a_command_is_measured_in_its_own_process() -> None:
    cost, output = measure([sys.executable, "-c", "print(len(b'x' * 700_000_000))"])
    assert output == "700000000\n"
    assert 0.7e9 < cost.peak_bytes < 3e9
    assert 0 < cost.cpu_seconds < 60
    assert cost.wall_seconds > 0


def test_a_failing_command_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="exit code 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_document_without_marks_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "figures.md"
    document.write_text("no marks")
    with pytest.raises(SystemExit, match="has no place for the figures"):
        data_scale.refresh(document, "text", mark="data-scale")


def test_a_tiny_run_reports_every_stage(tmp_path: Path) -> None:
    document, output, picture = tmp_path / "figures.md", tmp_path / "figures.json", tmp_path / "figures.png"
    document.write_text("Before.\n<!-- data-scale:start -->\nold\n<!-- data-scale:end -->\nAfter.\n")
    data_scale.main(
        [
            *("--sizes", "2000", "1000", "--items", "100", "--methods", "time", "--repeats", "1"),
            *("--folder", str(tmp_path / "logs")),
            *("--document", str(document), "--output", str(output), "--picture", str(picture)),
        ]
    )
    report = json.loads(output.read_text())
    assert list(report["costs"]) == ["1000", "2000"]
    assert list(report["costs"]["1000"]) == ["import", "time", "import + slowest split"]
    stages = report["costs"]["2000"]
    parts = [stages["import"], stages["time"]]
    assert np.isclose(stages["import + slowest split"]["wall_seconds"], sum(part["wall_seconds"] for part in parts))
    assert stages["import + slowest split"]["peak_bytes"] == max(part["peak_bytes"] for part in parts)
    assert set(report["growth_exponents"]) == set(stages)
    text = document.read_text()
    assert text.startswith("Before.\n<!-- data-scale:start -->\n\n")
    assert text.endswith("\n\n<!-- data-scale:end -->\nAfter.\n")
    assert "| 2,000 | time |" in text
    assert "old" not in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "logs").glob("dataset-*"))
