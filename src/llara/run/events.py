"""Progress of long work as typed events: a terminal draws bars from them, a server logs them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias


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
    """

    stage: str
    seconds: float


@dataclass(frozen=True)
class Notice:
    """A line for the person who waits."""

    text: str


Event: TypeAlias = StageStarted | StageProgressed | StageFinished | Notice
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not want to know."""


class Advance(Protocol):
    """Tells that a stage went on."""

    def __call__(self, more: int, note: str = "") -> None:
        """Count so many more units; `note` says something about them."""


@contextmanager
def stage(listener: Listener, name: str, total: int) -> Iterator[Advance]:
    """Report a block as a stage: its start, whatever the yielded function is told, and its end unless it fails."""
    started = time.perf_counter()
    done = 0
    listener(StageStarted(name, total))

    def advance(more: int, note: str = "") -> None:
        nonlocal done
        done += more
        listener(StageProgressed(name, done, total, note))

    yield advance
    listener(StageFinished(name, time.perf_counter() - started))
