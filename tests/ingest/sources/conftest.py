"""A publisher on this machine, whose server can be made to misbehave."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llara.errors import DataError
from llara.ingest.sources.downloading import OnProgress, download

CUT = 100_000


@dataclass(frozen=True)
class Asked:
    """What the server was asked for."""

    path: str
    range: str | None
    if_range: str | None
    accept_encoding: str | None


@dataclass
class Publisher:
    """Serves `content` at every path, in the manner that the other fields say.

    Attributes:
        cuts: Before how many bytes of their body the next answers break off.
        statuses: What the next answers say instead of giving the file.
        redirects: From path to address.
        ranges: Whether it can send a part of the file.
        shift: By how many bytes a part starts too early.
        heeds_if_range: Whether it sends the whole file if the version is another one.
        knows_length: Whether it says how much there is to come.
    """

    url: str
    content: bytes = bytes(range(256)) * 1200
    etag: str | None = '"v1"'
    last_modified: str | None = "Wed, 01 Jan 2025 00:00:00 GMT"
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    shift: int = 0
    heeds_if_range: bool = True
    knows_length: bool = True
    asked: list[Asked] = field(default_factory=list)

    def replace_file(self, content: bytes) -> None:
        self.content, self.etag, self.last_modified = content, '"v2"', "Thu, 02 Jan 2025 00:00:00 GMT"

    def get(
        self,
        target: Path,
        checksum: str | None = None,
        *,
        path: str = "/file.zip",
        attempts: int = 3,
        on_progress: OnProgress | None = None,
    ) -> str:
        """Download without waiting between attempts."""
        return download(
            f"{self.url}{path}",
            target,
            checksum=checksum,
            on_progress=on_progress,
            attempts=attempts,
            backoff_seconds=0.001,
        )

    def leave_part(self, target: Path) -> int:
        """Cut a download for good and forget about it; returns the size of the partial file."""
        self.cuts = [CUT]
        with pytest.raises(DataError):
            self.get(target, attempts=1)
        assert target.with_name(f"{target.name}.part").read_bytes() == self.content[:CUT]
        self.asked.clear()
        return CUT


class _Server(ThreadingHTTPServer):
    publisher: Publisher


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        publisher = self._publisher
        asked = Asked(self.path, self.headers["Range"], self.headers["If-Range"], self.headers["Accept-Encoding"])
        publisher.asked.append(asked)
        if self.path in publisher.redirects:
            self._say(302, {"Location": publisher.redirects[self.path]})
        elif publisher.statuses:
            self._say(publisher.statuses.pop(0), {})
        else:
            self._give(publisher, asked)

    def _give(self, publisher: Publisher, asked: Asked) -> None:
        size = len(publisher.content)
        same = not publisher.heeds_if_range or asked.if_range in (publisher.etag, publisher.last_modified)
        versions = {"ETag": publisher.etag, "Last-Modified": publisher.last_modified}
        start = 0
        if asked.range is not None and publisher.ranges and same:
            found = re.fullmatch(r"bytes=(\d+)-", asked.range)
            assert found is not None
            start = int(found[1]) - publisher.shift
            if start >= size:
                self._say(416, {"Content-Range": f"bytes */{size}", **versions})
                return
            self._say(206, {"Content-Range": f"bytes {start}-{size - 1}/{size}", **versions}, body=size - start)
        else:
            self._say(200, versions, body=size)
        with suppress(ConnectionError):  # the other side may hang up
            self.wfile.write(publisher.content[start:][: publisher.cuts.pop(0) if publisher.cuts else None])

    @property
    def _publisher(self) -> Publisher:
        assert isinstance(self.server, _Server)
        return self.server.publisher

    def _say(self, status: int, headers: Mapping[str, str | None], *, body: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        if self._publisher.knows_length or not body:
            self.send_header("Content-Length", str(body))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test output free of requests."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("NO_PROXY", "*")
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.publisher = Publisher(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.publisher
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file.zip"
