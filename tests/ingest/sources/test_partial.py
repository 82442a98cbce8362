"""A download goes on where it was cut, and never joins what does not belong together."""

import hashlib
import json
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llara.errors import DataError

if TYPE_CHECKING:
    from tests.ingest.sources.conftest import Publisher

CUT = 100_000


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


@contextmanager
def _full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond the limit: writing fails in the middle of it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_cut_download_is_resumed_by_itself(publisher: "Publisher", target: Path) -> None:
    publisher.cuts = [CUT, CUT]
    publisher.get(target)
    assert target.read_bytes() == publisher.content
    assert [asked.range for asked in publisher.asked] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert [asked.if_range for asked in publisher.asked] == [None, '"v1"', '"v1"']
    assert list(target.parent.iterdir()) == [target]


def test_a_download_that_is_cut_for_good_goes_on_at_the_next_call(publisher: "Publisher", target: Path) -> None:
    publisher.cuts = [CUT, 10]
    with pytest.raises(DataError, match=rf"\(2 attempts\)\. The {CUT + 10} bytes .*kept.*run the same command again"):
        publisher.get(target, attempts=2)
    assert not target.exists()
    assert _part(target).read_bytes() == publisher.content[: CUT + 10]
    reports: list[tuple[int, int | None]] = []
    publisher.get(
        target,
        f"sha256:{_sha256(publisher.content)}",
        on_progress=lambda done, total: reports.append((done, total)),
    )
    assert target.read_bytes() == publisher.content
    assert publisher.asked[-1].range == f"bytes={CUT + 10}-"
    assert reports[0] == (CUT + 10, len(publisher.content))


def test_an_interrupt_keeps_what_has_arrived(publisher: "Publisher", target: Path) -> None:
    def interrupt(done: int, _: int | None) -> None:
        if done:
            raise KeyboardInterrupt
        time.sleep(0.11)  # so that the next report is due with the first bytes

    with pytest.raises(KeyboardInterrupt):
        publisher.get(target, on_progress=interrupt)
    assert not target.exists()
    here = _part(target).stat().st_size
    assert 0 < here < len(publisher.content)
    publisher.get(target)
    assert target.read_bytes() == publisher.content
    assert publisher.asked[-1].range == f"bytes={here}-"


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("size", [CUT - 1, CUT, 3 * CUT])
def test_two_versions_are_never_glued(publisher: "Publisher", target: Path, *, heeds_if_range: bool, size: int) -> None:
    here = publisher.leave_part(target)
    publisher.replace_file(b"n" * size)
    publisher.heeds_if_range = heeds_if_range
    publisher.get(target, attempts=1)
    assert target.read_bytes() == publisher.content
    assert publisher.asked[0].range == f"bytes={here}-"


def test_a_version_that_lost_its_name_is_told_by_its_length(publisher: "Publisher", target: Path) -> None:
    publisher.leave_part(target)
    publisher.content, publisher.etag, publisher.last_modified = b"n" * 3 * CUT, None, None
    publisher.heeds_if_range = False
    publisher.get(target, attempts=1)
    assert target.read_bytes() == publisher.content


def test_a_version_is_told_by_its_date_where_there_is_no_strong_etag(publisher: "Publisher", target: Path) -> None:
    publisher.etag = 'W/"weak"'
    here = publisher.leave_part(target)
    publisher.get(target)
    assert publisher.asked[0].if_range == publisher.last_modified
    assert publisher.asked[0].range == f"bytes={here}-"
    assert target.read_bytes() == publisher.content


def test_a_version_without_a_name_is_never_resumed(publisher: "Publisher", target: Path) -> None:
    publisher.etag = publisher.last_modified = None
    publisher.leave_part(target)
    publisher.content = b"n" * len(publisher.content)
    publisher.get(target)
    assert publisher.asked[0].range is None
    assert target.read_bytes() == publisher.content


def test_another_address_starts_over(publisher: "Publisher", target: Path) -> None:
    publisher.leave_part(target)
    publisher.content = publisher.content[::-1]
    publisher.get(target, path="/mirror/file.zip")
    assert publisher.asked[0].range is None
    assert target.read_bytes() == publisher.content


@pytest.mark.parametrize("record", ["", "{", "[]", '{"url": 1}', None])
def test_a_partial_file_of_unknown_origin_starts_over(publisher: "Publisher", target: Path, record: str | None) -> None:
    target.parent.mkdir()
    _part(target).write_bytes(b"x" * CUT)
    if record is not None:
        target.with_name("file.zip.part.json").write_text(record)
    publisher.get(target)
    assert target.read_bytes() == publisher.content


def test_a_server_without_ranges_starts_over(publisher: "Publisher", target: Path) -> None:
    here = publisher.leave_part(target)
    publisher.ranges = False
    publisher.get(target)
    assert publisher.asked[0].range == f"bytes={here}-"
    assert target.read_bytes() == publisher.content


def test_a_part_that_starts_elsewhere_is_not_appended(publisher: "Publisher", target: Path) -> None:
    here = publisher.leave_part(target)
    publisher.shift = 10
    publisher.get(target, attempts=1)
    assert [asked.range for asked in publisher.asked] == [f"bytes={here}-", None]
    assert target.read_bytes() == publisher.content


def test_a_cut_is_noticed_where_only_the_range_tells_the_length(publisher: "Publisher", target: Path) -> None:
    here = publisher.leave_part(target)
    publisher.knows_length = False
    publisher.cuts = [10]
    with pytest.raises(DataError, match=f"{here + 10} bytes arrived, {len(publisher.content)} were announced"):
        publisher.get(target, attempts=1)
    publisher.get(target, attempts=1)
    assert target.read_bytes() == publisher.content


@pytest.mark.parametrize("knows_length", [True, False])
def test_a_partial_file_that_is_complete_is_taken_as_it_is(
    publisher: "Publisher", target: Path, *, knows_length: bool
) -> None:
    """The last byte had arrived when the interrupt came: the server has nothing to send from there on (416)."""

    def interrupt_at_the_end(done: int, _: int | None) -> None:
        if done == len(publisher.content):
            raise KeyboardInterrupt

    publisher.knows_length = knows_length
    with pytest.raises(KeyboardInterrupt):
        publisher.get(target, on_progress=interrupt_at_the_end)
    assert _part(target).read_bytes() == publisher.content
    assert publisher.get(target, attempts=1) == _sha256(publisher.content)
    assert [asked.range for asked in publisher.asked] == [None, f"bytes={len(publisher.content)}-"]
    assert list(target.parent.iterdir()) == [target]


def test_a_partial_file_that_is_too_long_starts_over(publisher: "Publisher", target: Path) -> None:
    publisher.leave_part(target)
    with _part(target).open("ab") as file:
        file.write(b"x" * len(publisher.content))
    publisher.get(target, attempts=1)
    assert target.read_bytes() == publisher.content


def test_a_refusal_keeps_what_has_arrived(publisher: "Publisher", target: Path) -> None:
    here = publisher.leave_part(target)
    publisher.statuses = [403]
    with pytest.raises(DataError, match=f"403 Forbidden. The {here} bytes that arrived are kept"):
        publisher.get(target)
    publisher.get(target)
    assert publisher.asked[-1].range == f"bytes={here}-"


def test_a_redirect_is_followed_and_its_download_resumed(publisher: "Publisher", target: Path) -> None:
    publisher.redirects = {"/file.zip": "/elsewhere?token=1"}
    publisher.cuts = [CUT]
    publisher.get(target)
    assert target.read_bytes() == publisher.content
    assert publisher.asked[-1].path == "/elsewhere?token=1"
    assert publisher.asked[-1].range == f"bytes={CUT}-"


@pytest.mark.parametrize("missing", [200_000, 1])
def test_a_full_disk_is_named_and_the_download_goes_on_later(
    publisher: "Publisher", target: Path, missing: int
) -> None:
    room = len(publisher.content) - missing
    with _full_disk(room), pytest.raises(DataError, match=rf"cannot write .*: File too large. The {room} bytes"):
        publisher.get(target)
    assert len(publisher.asked) == 1
    assert not target.exists()
    publisher.get(target)
    assert publisher.asked[-1].range == f"bytes={room}-"
    assert target.read_bytes() == publisher.content


def test_a_full_disk_from_the_start_is_named(publisher: "Publisher", target: Path) -> None:
    with _full_disk(0), pytest.raises(DataError, match=r"cannot write .*file.zip"):
        publisher.get(target)
    publisher.get(target)
    assert target.read_bytes() == publisher.content


def test_two_downloads_of_one_file_do_not_mix(publisher: "Publisher", target: Path) -> None:
    started, finish = threading.Event(), threading.Event()

    def wait(_: int, __: int | None) -> None:
        started.set()
        assert finish.wait(5)

    first = threading.Thread(target=lambda: publisher.get(target, on_progress=wait))
    first.start()
    assert started.wait(5)
    try:
        with pytest.raises(DataError, match="by another process"):
            publisher.get(target)
    finally:
        finish.set()
        first.join()
    assert target.read_bytes() == publisher.content
    assert list(target.parent.iterdir()) == [target]


def test_the_record_names_the_version(publisher: "Publisher", target: Path) -> None:
    publisher.leave_part(target)
    record = json.loads(target.with_name("file.zip.part.json").read_text())
    assert record["url"] == f"{publisher.url}/file.zip"
    assert (record["etag"], record["last_modified"]) == (publisher.etag, publisher.last_modified)
