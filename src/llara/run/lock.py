"""One process at a time for each run: an operating system's lock, and beside it who holds it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from llara.errors import ConfigError


@contextmanager
def hold(output: Path, *, owner_file: Path) -> Iterator[None]:
    """Hold a run against other processes (and other threads of this one) while the block runs.

    The system frees the lock of a process that dies, so an interrupted run can always be resumed.

    Args:
        output: The run's folder, which need not exist; its parent is made. The lock is a hidden file beside it.
        owner_file: Where the holder says who it is, with `write_owner`.

    Raises:
        ConfigError: If another process is at it; the message names it.
        OSError: If the lock cannot be written.
    """
    path = output.absolute().with_name(f".{output.absolute().name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"a run is in progress at {output}: {_owner(owner_file)}. Wait until it has ended, or choose another "
            "output with --set output=..."
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            path.unlink()
        lock.release()


def write_owner(path: Path) -> None:
    """Say which process holds a run."""
    started = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    content = {"process": os.getpid(), "host": socket.gethostname(), "started": started}
    path.write_text(json.dumps(content), encoding="utf-8")


def _owner(path: Path) -> str:
    """The holder in words; it may not have said yet who it is."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['host']}, since {found['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process has just started it"
