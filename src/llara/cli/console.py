"""What a person sees: tables and progress on the terminal, one JSON object on stdout when asked."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment

_UNSEEN = re.compile(
    # Controls but line break and tab, soft hyphen, zero-width and directional marks, line separators, fillers,
    # halves of surrogate pairs, tags.
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff\\U000e0000-\\U000e007f]"
)


def plain(text: str) -> str:
    """Text without the characters that are not seen but could steer the terminal or turn the direction of the line.

    They take no place on the line, so that tables stay straight. Titles, identifiers and messages about files hold what
    other people wrote; `out`, `err`, `say` and log lines pass through here, `print_json` escapes the same characters.
    """
    return _UNSEEN.sub("", text)


class _PlainConsole(Console):
    """A console on which only our own styles and cursor movements steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


err = _PlainConsole(stderr=True)
out = _PlainConsole()


def bar(length: int) -> str:
    """A horizontal bar, in characters that the encoding of stdout has; a length of 0 is a trace of one."""
    block, trace = ("█", "▏") if out.encoding.startswith("utf") else ("#", ".")
    return block * length or trace


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
    """One JSON object on stdout, nothing else; escaped where the encoding of stdout lacks letters."""
    is_utf = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    written = json.dumps(content, ensure_ascii=not is_utf, default=str)
    sys.stdout.write(_UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], written) + "\n")
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
