"""Seconds per stage, kept in the run folder so that a resumed run adds to those of its earlier attempts."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from llara.data import write_atomically
from llara.errors import DataError
from llara.run.events import Event, Listener, Notice
from llara.run.folder import read_manifest
from llara.run.integrity import MANIFEST_FILE
from llara.run.stages import Place, Stage

T = TypeVar("T")
_SAVE_EVERY_SECONDS = 20.0


class Stopwatch:
    """Measures stages while they run.

    Args:
        seconds: Of earlier attempts, by stage.
        folder: The run, whose manifest is told of all seconds now and then, and after each stage; None: no run is.
    """

    def __init__(self, seconds: dict[str, float] | None = None, *, folder: Path | None = None) -> None:
        self.seconds = dict(seconds or {})
        self._folder = folder
        self._stage: str | None = None
        self._counted = self._saved = time.perf_counter()

    def run(self, stage: Stage[T], place: Place) -> T:
        """Run a stage and count its time, also if it fails; one that is not needed has none."""
        if not stage.needed:
            return stage.run(place)
        self._stage, self._counted = stage.name, time.perf_counter()
        try:
            return stage.run(place)
        finally:
            self._count()
            self._stage = None

    def watching(self, listener: Listener) -> Listener:
        """A listener that passes events on, and counts the time up to them: what is killed later is not lost."""

        def listen(event: Event) -> None:
            if isinstance(event, Notice) or time.perf_counter() - self._saved > _SAVE_EVERY_SECONDS:
                self._count()
            listener(event)

        return listen

    def _count(self) -> None:
        """Add the time since the last count to the stage that runs."""
        now = time.perf_counter()
        if self._stage is not None:
            self.seconds[self._stage] = round(self.seconds.get(self._stage, 0.0) + now - self._counted, 2)
        self._counted = self._saved = now
        if self._folder is not None:
            _save_seconds(self._folder, self.seconds)


def saved_seconds(folder: Path) -> dict[str, float]:
    """Seconds by stage that earlier attempts at a run have left; empty where there was none.

    Raises:
        CheckpointError: If the manifest is damaged.
    """
    if not (folder / MANIFEST_FILE).is_file():
        return {}
    return {str(name): float(seconds) for name, seconds in read_manifest(folder).get("seconds", {}).items()}


def _save_seconds(folder: Path, seconds: dict[str, float]) -> None:
    content = json.dumps({**read_manifest(folder), "seconds": seconds}, indent=2)
    with suppress(DataError):  # a full disk is for the stage to report: seconds are not worth a run
        write_atomically(folder / MANIFEST_FILE, lambda path: _write(path, content))


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
