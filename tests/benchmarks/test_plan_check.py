"""Plan against outcome: the runs are valid configs, and the table says by how much a plan was off."""

from pathlib import Path

import pytest
import yaml

from benchmarks.plan_check import RUNS, Compared, as_markdown
from llara.run.config import load_config


@pytest.mark.parametrize("name", RUNS)
def test_each_run_is_a_config_whose_stages_do_not_end_early(name: str, tmp_path: Path) -> None:
    content = {**RUNS[name], "output": "x", "data": {"folder": "y"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    config = load_config(tmp_path / "config.yaml", [])
    assert config.recommender.fit.patience >= config.recommender.fit.epochs
    assert config.train.patience == 0
    assert config.practice.steps == 0 or all(phase.enough <= 0 for phase in config.practice.phases)


def test_differences_are_of_the_outcome() -> None:
    where: dict[str, object] = {"date": "", "cores": 2, "processor": ""}
    entry = Compared("small", expected_seconds=60, seconds=50, expected_bytes=0.9e9, peak_bytes=1e9, stages={})
    assert as_markdown([entry], where).endswith("| small | 60 | 50 | +20% | 0.90 | 1.00 | -10% |")
