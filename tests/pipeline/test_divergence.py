"""A diverging run through the command line."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def test_a_run_that_diverges_ends_with_two_and_is_not_finished(dataset: "World", tmp_path: Path) -> None:
    settings = ("--set", "train.optimizer.learning_rate=1e+39", "--set", f"output={tmp_path / 'wild'}")
    message = dataset.llara("train", dataset.config("wild"), *settings).refused()
    for part in ("training diverged at step", "train.optimizer.learning_rate (now 1e+39)", "max_gradient_norm"):
        assert part in message
    assert not (tmp_path / "wild").exists()
    assert (tmp_path / "wild.partial").is_dir()
