"""A diverging run through the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def test_a_run_that_diverges_ends_with_two_and_is_not_finished(dataset: "World") -> None:
    message = dataset.llara("train", dataset.config("wild"), "--set", "train.optimizer.learning_rate=1e+39").refused()
    for part in ("training diverged at step", "train.optimizer.learning_rate (now 1e+39)", "max_gradient_norm"):
        assert part in message
    assert not (dataset.folder / "wild").exists()
    assert (dataset.folder / "wild.partial").is_dir()
