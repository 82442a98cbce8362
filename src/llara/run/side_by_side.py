"""Two runs at once: on a CPU two trainings with half of the threads each finish sooner than one after the other."""

from pathlib import Path

from llara.run.config import RunConfig
from llara.run.elsewhere import can_split, elsewhere
from llara.run.events import Listener, Notice, ignore
from llara.run.pipeline import FinishedRun, train_run


def train_both(
    first: RunConfig, second: RunConfig, *, start: Path, listener: Listener = ignore
) -> tuple[FinishedRun, FinishedRun]:
    """Train two runs from the same start, replacing earlier runs there: at once where there are threads for both.

    The first one trains in a process of its own, without a progress bar; its progress is logged here. On one thread, or
    where both would share a GPU, the second waits for the first.

    Args:
        first: Its output is not the other's.
        second: Trained in this process.
        start: From `make_start`.
        listener: Told of the progress of the runs in this process.

    Raises:
        LlaraError: Whatever either run is refused for, or if the other process dies.
    """
    if not can_split():
        one, other = (train_run(run, start=start, force=True, listener=listener) for run in (first, second))
        return one, other
    with elsewhere(_train, (first, start), what=f"training {first.output}") as trained:
        finished = train_run(second, start=start, force=True, listener=listener)
        listener(Notice(f"waiting for {Path(first.output).name}"))
        return trained(), finished


def _train(work: tuple[RunConfig, Path], listener: Listener) -> FinishedRun:
    config, start = work
    return train_run(config, start=start, force=True, listener=listener)
