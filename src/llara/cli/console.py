"""What a person sees: tables and progress on the terminal, one JSON object on stdout when asked."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

err = Console(stderr=True)
out = Console()


class _LineHandler(logging.Handler):
    """A line on stderr for each record, never wrapped: what it quotes can be copied, also from a pipe or a file."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname}: "
        say(level + self.format(record))


def setup_logging(*, verbose: bool = False) -> None:
    """Send our log lines to stderr; other libraries' below warnings stay silent."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_LineHandler()], force=True)
    logging.getLogger("llara").setLevel(logging.DEBUG if verbose else logging.INFO)
    # Its notices about generation flags repeat per batch and help nobody who runs a recommender.
    logging.getLogger("transformers").setLevel(logging.ERROR)


def quiet_libraries() -> None:
    """Draw no bars of other libraries between ours. It imports transformers: call it once the arguments are checked."""
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415  (takes seconds)

    transformers_logging.disable_progress_bar()


def print_json(content: object) -> None:
    """One JSON object on stdout, nothing else."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for the person; on stderr, so that stdout stays for results."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def download_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar per file with size, rate and time left; called with file name, bytes done, bytes in all (None: unknown)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield on_progress
