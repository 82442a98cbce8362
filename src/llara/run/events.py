"""Progress of long work as typed events: a terminal draws bars from them, a server logs them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class StageStarted:
    """A stage begins.

    Attributes:
        stage: What is done, in words.
        total: Steps, rows or other units until its end.
    """

    stage: str
    total: int


@dataclass(frozen=True)
class StageProgressed:
    """A stage went on.

    Attributes:
        stage: As in its `StageStarted`.
        done: Units so far, at most `total`.
        total: As in its `StageStarted`.
        note: What a person may want to see beside a bar, such as the loss.
    """

    stage: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class StageFinished:
    """A stage has ended.

    Attributes:
        stage: As in its `StageStarted`.
        seconds: Wall time since then.
        outcome: What came of it, such as the best validation; may be empty.
    """

    stage: str
    seconds: float
    outcome: str = ""


@dataclass(frozen=True)
class Notice:
    """A line for the person who waits."""

    text: str


Event: TypeAlias = StageStarted | StageProgressed | StageFinished | Notice
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not want to know."""


class Advance:
    """Tells a listener how a stage goes on: call it with how many more units are done.

    Args:
        listener: Told of each call.
        name: Of the stage.
        total: Units until its end.
    """

    def __init__(self, listener: Listener, name: str, total: int) -> None:
        self.outcome = ""
        """What came of the stage, in words: set it before its end."""
        self._listener, self._name, self._total, self._done = listener, name, total, 0

    def __call__(self, more: int, note: str = "") -> None:
        """Count so many more units; `note` says something about them."""
        self._done += more
        self._listener(StageProgressed(self._name, self._done, self._total, note))


@contextmanager
def stage(listener: Listener, name: str, total: int) -> Iterator[Advance]:
    """Report a block as a stage: its start, whatever the yielded object is told, and its end unless it fails."""
    started = time.perf_counter()
    listener(StageStarted(name, total))
    advance = Advance(listener, name, total)
    yield advance
    listener(StageFinished(name, time.perf_counter() - started, advance.outcome))


class LineListener:
    """Events as lines of text, for a pipe or a log: one per stage, at its end; one now and then while it is long.

    Args:
        write: Takes each line.
        every_seconds: A stage that goes on for longer than this says how far it is, and again each time after.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        every_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._every_seconds, self._clock = write, every_seconds, clock
        self._last = clock()

    def __call__(self, event: Event) -> None:
        """Write what the event is worth."""
        match event:
            case Notice(text):
                self._say(text)
            case StageStarted():
                self._last = self._clock()
            case StageProgressed(name, done, total, note):
                if self._clock() - self._last >= self._every_seconds:
                    self._say(f"{name}: {done:,} of {total:,}{', ' if note else ''}{note}")
            case StageFinished():
                self._say(finished_line(event))

    def _say(self, line: str) -> None:
        self._last = self._clock()
        self._write(line)


def finished_line(event: StageFinished) -> str:
    """The end of a stage as a line: "practice on the catalog: loss 0.42, 12 s"."""
    return f"{event.stage}: {event.outcome}{', ' if event.outcome else ''}{event.seconds:.0f} s"
