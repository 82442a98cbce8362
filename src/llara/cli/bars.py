"""Progress on a terminal: a bar with rate and time left for each stage that runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from llara.cli import console
from llara.run.events import Event, Listener, Notice, StageFinished, StageProgressed, StageStarted


@contextmanager
def showing_progress() -> Iterator[Listener]:
    """Within the block, what the yielded listener is told appears on stderr: bars where it is a terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.err, disable=not console.err.is_terminal) as progress:
        yield _listener(progress)


def _listener(progress: Progress) -> Listener:
    tasks: dict[str, TaskID] = {}

    def listen(event: Event) -> None:
        match event:
            case Notice(text):
                console.say(text)
            case StageStarted(stage, total):
                tasks[stage] = progress.add_task(stage, total=total, note="")
            case StageProgressed(stage, done, _, note):
                progress.update(tasks[stage], completed=done, note=note)
            case StageFinished(stage, _):
                progress.stop_task(tasks.pop(stage))

    return listen
