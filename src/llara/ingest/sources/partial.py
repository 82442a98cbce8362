"""The part of a file that has arrived so far, and what tells whether the rest of it is still to be had."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import filelock
import httpx2

from llara.data.files import write_atomically
from llara.errors import DataError

_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<length>\d+|\*)")


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which file, and which version of it, an answer belongs to.

    Attributes:
        url: The address that was asked for, before any redirect: where files are stored may change by the hour.
        etag: The server's name for the version.
        last_modified: The server's date for it.
        length: Bytes of the whole file, if known.
        start: Offset of the answer's first byte.
    """

    url: str
    etag: str | None
    last_modified: str | None
    length: int | None
    start: int = 0

    @classmethod
    def of(cls, response: httpx2.Response, url: str) -> "Version":
        """Read it from an answer's headers."""
        length = response.headers.get("Content-Length")
        start = 0
        if response.status_code != HTTPStatus.OK:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            length = found["length"] if found else None
            start = int(found["start"]) if found and found["start"] else -1
        return cls(
            url=url,
            etag=response.headers.get("ETag"),
            last_modified=response.headers.get("Last-Modified"),
            length=int(length) if length and length.isdecimal() else None,
            start=start,
        )

    @property
    def validator(self) -> str | None:
        """What to put into If-Range, where a weak ETag matches nothing."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def may_be(self, other: "Version") -> bool:
        """Whether nothing speaks against the two being one; servers that ignore If-Range are caught here."""
        here, there = (self.etag, self.last_modified), (other.etag, other.last_modified)
        tags = [pair for pair in zip(here, there, strict=True) if None not in pair]
        same_length = self.length == other.length or None in (self.length, other.length)
        return self.url == other.url and same_length and (not tags or tags[0][0] == tags[0][1])


class PartialFile:
    """`<target>.part` and the record of its version, `<target>.part.json`, beside the file that is wanted.

    Args:
        target: The file that is wanted.
        url: Its address, as it may be written to disk.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.target = target
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self._record = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from appending to the same file.

        Raises:
            DataError: If another process holds it, or the folder cannot be written to.
        """
        lock = filelock.FileLock(self.target.with_name(f"{self.target.name}.part.lock"), timeout=0)
        with self._writing():
            self.target.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except filelock.Timeout as error:
                raise DataError(
                    f"{self.target} is being downloaded by another process. Wait until it is done, then run again."
                ) from error
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it with the lock, and refuses before that
                Path(lock.lock_file).unlink()
            lock.release()

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest of the same version, or, if there is nothing to go on from, for everything."""
        version = self._version()
        if version is None or version.validator is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": version.validator}

    def is_continued_by(self, answer: Version) -> bool:
        """Whether a partial answer starts where this file ends."""
        version = self._version()
        return version is not None and version.may_be(answer) and answer.start == self.size

    def is_all_of(self, answer: Version) -> bool:
        """Whether nothing is missing, as told by a server that has nothing to send from here on."""
        version = self._version()
        return version is not None and version.may_be(answer) and answer.length == self.size

    def restart(self, version: Version) -> None:
        """Empty the file and note which version it will hold.

        Raises:
            DataError: If the disk is full or the folder cannot be written to.
        """
        content = json.dumps(asdict(version), indent=2) + "\n"
        with self._writing():
            self.path.write_bytes(b"")  # first: the bytes of one version must never stand beside the name of another
        write_atomically(self._record, lambda path: _write(path, content))

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Open the file for adding bytes to its end; each is on its way to the disk when the call returns.

        Raises:
            DataError: If the disk is full or the file cannot be written to.
        """
        with self._writing():
            file = self.path.open("ab", buffering=0)

        def append(content: bytes) -> None:
            rest = memoryview(content)
            with self._writing():
                while rest:
                    rest = rest[file.write(rest) :]

        with file:
            yield append

    def flush(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            DataError: If the disk refuses.
        """
        with self._writing(), self.path.open("ab") as file:
            os.fsync(file.fileno())

    def move_into_place(self) -> None:
        """Rename the file to the target, once it is known to be whole.

        Raises:
            DataError: If the folder cannot be written to.
        """
        with self._writing():
            self.path.replace(self.target)
            self._record.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what is here.

        Raises:
            DataError: If the folder cannot be written to.
        """
        with self._writing():
            self.path.unlink(missing_ok=True)
            self._record.unlink(missing_ok=True)

    def describe(self) -> str:
        """A sentence on what is kept, for messages; empty if the next attempt has to start over anyway."""
        if not self.range_headers():
            return ""
        return f"The {self.size} bytes that arrived are kept in {self.path}, and the next run goes on from there. "

    def _version(self) -> Version | None:
        if self.size == 0:
            return None
        try:
            version = Version(**json.loads(self._record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None  # nobody knows what these bytes belong to: they are downloaded anew
        return version if version.url == self.url else None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write {self.target}: {error.strerror or error}. {self.describe()}"
                "Free space or choose a folder that you may write to, then run the same command again."
            ) from error


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
