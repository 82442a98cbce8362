"""The benchmark of real shapes, from end to end on a tiny one."""

import json
from pathlib import Path

import pytest

from benchmarks import large_models, speed_stage
from tests.benchmarks.test_recommender_speed import marked


def test_a_tiny_shape_is_measured_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_stage, "_PEAK_SHAPES", ((64, 64, 64),))
    output, document = tmp_path / "figures.json", marked(tmp_path, "large-models")
    large_models.main(
        [
            *("--shapes", "tiny", "--folder", str(tmp_path / "speed"), "--batch-size", "4", "--rows", "8"),
            *("--requests", "4", "--output", str(output), "--document", str(document)),
        ]
    )
    found = json.loads(output.read_text())["shapes"]["tiny"]
    assert set(found["throughput"]) == {"train", "answer", "listwise", "generation"}
    assert set(found["requests"]) == {"answer", "listwise", "generation"}
    for figures in found["requests"].values():
        assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    for stage in ("train", "answer", "listwise"):
        figures = found["throughput"][stage]
        # A prompt of the workload has hundreds of tokens.
        assert figures["tokens_per_second"] > 50 * figures["rows_per_second"] > 0
    assert "| tiny | listwise | " in document.read_text()
