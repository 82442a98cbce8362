"""The benchmark of targets per second runs, on a model that is small."""

import json
from pathlib import Path

import pytest

from benchmarks import targets
from llara.ingest.sample import make_sample


def test_every_kind_of_prompt_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sample(tmp_path / "data", seed=0)
    targets.main([str(tmp_path / "data"), "--rows", "4", "--steps", "1", "--title-tokens", "2"])
    found = json.loads(capsys.readouterr().out)
    speeds = found["targets_per_second"]
    assert set(speeds) == {"20 candidates", "histories alone", "a token per item"}
    assert set(found["ratios"]) == {"histories alone", "a token per item"}
    for name, ratio in found["ratios"].items():
        assert ratio == pytest.approx(speeds[name] / speeds["20 candidates"], abs=0.06)
