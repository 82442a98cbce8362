"""Progress: a bar with rate and time left for the stage that runs, one line for each that has ended."""

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
from llara.run.events import (
    Event,
    LineListener,
    Listener,
    Notice,
    StageFinished,
    StageProgressed,
    StageStarted,
    finished_line,
)


@contextmanager
def showing_progress() -> Iterator[Listener]:
    """Within the block, what the yielded listener is told appears on stderr: bars on a terminal, lines elsewhere."""
    console.quiet_libraries()
    if not console.err.is_terminal:
        yield LineListener(console.say)
        return
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
    with Progress(*columns, console=console.err) as progress:
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
            case StageFinished(stage):
                progress.remove_task(tasks.pop(stage))
                console.say(finished_line(event))

    return listen
