"""What arrives is whole and the expected file, and whatever stands in the way is named."""

import hashlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llara.errors import ConfigError, DataError, LlaraError
from llara.ingest.sources import downloading
from llara.ingest.sources.downloading import download, fetch_text, verify

if TYPE_CHECKING:
    from tests.ingest.sources.conftest import Publisher

WRONG_MD5 = "md5:" + "0" * 32
WRONG_SHA256 = "sha256:" + "0" * 64


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_arrives_whole_and_alone(publisher: "Publisher", target: Path) -> None:
    assert publisher.get(target) == _sha256(publisher.content)
    assert target.read_bytes() == publisher.content
    assert list(target.parent.iterdir()) == [target]
    assert [(asked.range, asked.accept_encoding) for asked in publisher.asked] == [(None, "identity")]


def test_an_empty_file_is_a_file(publisher: "Publisher", target: Path) -> None:
    publisher.content = b""
    publisher.get(target)
    assert target.read_bytes() == b""


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_the_right_checksum_is_accepted(publisher: "Publisher", target: Path, algorithm: str) -> None:
    checksum = f"{algorithm}:{hashlib.new(algorithm, publisher.content).hexdigest().upper()}"
    assert publisher.get(target, checksum) == _sha256(publisher.content)


@pytest.mark.parametrize("wrong", [WRONG_MD5, WRONG_SHA256])
def test_a_wrong_checksum_leaves_nothing(publisher: "Publisher", target: Path, wrong: str) -> None:
    algorithm = wrong.partition(":")[0]
    found = hashlib.new(algorithm, publisher.content).hexdigest()
    with pytest.raises(DataError, match=rf"/file.zip .*expected {wrong}, found {algorithm}:{found}.*--checksum") as it:
        publisher.get(target, wrong)
    assert publisher.url in str(it.value)
    assert list(target.parent.iterdir()) == []
    assert len(publisher.asked) == 1


def test_progress_grows_to_the_total_without_flooding(publisher: "Publisher", target: Path) -> None:
    publisher.content *= 20
    reports: list[tuple[int, int | None]] = []
    publisher.get(target, on_progress=lambda done, total: reports.append((done, total)))
    total = len(publisher.content)
    assert reports[0] == (0, total)
    assert reports[-1] == (total, total)
    assert reports == sorted(reports)
    assert len(reports) < 15  # of 94 or more chunks


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (410, 1), (204, 1), (206, 2), (500, 3), (503, 3)])
def test_a_refusal_is_named_and_repeated_only_if_it_may_pass(
    publisher: "Publisher", target: Path, status: int, asked: int
) -> None:
    publisher.statuses = [status] * 9
    with pytest.raises(DataError, match=f"cannot download {publisher.url}/file.zip: the server answered.*--mirror"):
        publisher.get(target, attempts=3 if status != 206 else 1)
    assert len(publisher.asked) == asked
    assert not list(target.parent.iterdir())


def test_a_refusal_says_its_status_and_the_way_by_hand(publisher: "Publisher", target: Path) -> None:
    publisher.statuses = [404]
    with pytest.raises(DataError, match=r"404 Not Found\..*by hand.*`llara data import --source`"):
        publisher.get(target)


def test_trouble_that_passes_is_not_reported(publisher: "Publisher", target: Path) -> None:
    publisher.statuses = [503, 500]
    publisher.get(target)
    assert target.read_bytes() == publisher.content


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/file.zip", "file:///etc/hostname"])
def test_a_redirect_to_another_scheme_is_not_followed(publisher: "Publisher", target: Path, location: str) -> None:
    publisher.redirects = {"/file.zip": location}
    with pytest.raises(DataError, match="unsupported protocol"):
        publisher.get(target)
    assert len(publisher.asked) == 1


def test_a_redirect_in_a_circle_ends(publisher: "Publisher", target: Path) -> None:
    publisher.redirects = {"/file.zip": "/file.zip"}
    with pytest.raises(DataError, match="redirects"):
        publisher.get(target)


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://a/b", "/etc/hostname", "a.zip", "http://", "http://a:b/", "http://[::1/"]
)
def test_only_web_addresses_are_accepted(target: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="https://"):
        download(url, target, checksum=None)
    with pytest.raises(ConfigError, match="https://"):
        fetch_text(url)
    assert not target.parent.exists()


@pytest.mark.parametrize("checksum", ["", "abc", "md5:abc", "sha256:" + "g" * 64, "sha1:" + "0" * 40])
def test_a_malformed_checksum_is_refused_before_anything_is_spent(
    publisher: "Publisher", target: Path, checksum: str
) -> None:
    with pytest.raises(ConfigError, match="hexadecimal digits, got"):
        publisher.get(target, checksum)
    assert not publisher.asked


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_is_named(closed_port: int, target: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download http://127.*refused \(2 attempts\)\. Check the connection"):
        download(f"http://127.0.0.1:{closed_port}/file.zip", target, checksum=None, attempts=2, backoff_seconds=0.001)
    assert not list(target.parent.iterdir())


def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(DataError, match=r"download http://no-such-host.invalid/file.zip: .*Check the connection"):
        download("http://no-such-host.invalid/file.zip", target, checksum=None, attempts=1)


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(DataError, match=r"timed out\. Check the connection"):
            download(f"http://127.0.0.1:{port}/file.zip", target, checksum=None, attempts=1, timeout_seconds=0.05)


def test_a_server_without_tls_is_named(publisher: "Publisher", target: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download https://127.*SSL.*Check the connection"):
        download(f"{publisher.url.replace('http', 'https')}/file.zip", target, checksum=None, attempts=1)


def test_an_unusable_proxy_is_named(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1")
    with pytest.raises(ConfigError, match=r"gopher.*Check the proxy"):
        download("https://127.0.0.1/file.zip", target, checksum=None)


def test_a_folder_that_cannot_be_made_is_named(publisher: "Publisher", tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"cannot write .*cache/file.zip: .*choose a folder"):
        publisher.get(tmp_path / "cache" / "file.zip")


def test_a_file_that_is_there_is_not_downloaded_again(publisher: "Publisher", target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"abc")
    for checksum in (None, f"md5:{hashlib.md5(b'abc').hexdigest()}", f"sha256:{_sha256(b'abc')}"):
        assert publisher.get(target, checksum) == _sha256(b"abc")
    assert not publisher.asked


def test_a_wrong_file_that_is_there_is_refused_and_kept(publisher: "Publisher", target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"abc")
    with pytest.raises(DataError, match=rf"file.zip .*expected {WRONG_MD5}, found md5:9001.*Remove it") as refused:
        publisher.get(target, WRONG_MD5)
    assert str(refused.value).endswith("or pass the new one's checksum as --checksum file.zip=sha256:DIGITS.")
    assert target.read_bytes() == b"abc"
    assert not publisher.asked


def test_a_password_in_the_address_is_neither_shown_nor_kept(publisher: "Publisher", target: Path) -> None:
    publisher.cuts = [10]
    with pytest.raises(DataError) as caught:
        download(f"{publisher.url.replace('//', '//me:secret@')}/file.zip", target, checksum=None, attempts=1)
    assert "secret" not in str(caught.value)
    assert "secret" not in target.with_name("file.zip.part.json").read_text()


def test_a_checksum_is_fetched_as_text(publisher: "Publisher") -> None:
    publisher.content = b"\xef\xbb\xbfMD5 (file.zip) = be20\n"
    assert fetch_text(f"{publisher.url}/file.zip.md5") == "MD5 (file.zip) = be20\n"


def test_a_large_or_binary_file_is_no_text(publisher: "Publisher") -> None:
    publisher.content = b"x" * 65536
    assert len(fetch_text(publisher.url)) == 65536
    publisher.content += b"x"
    with pytest.raises(DataError, match="more than the 65536 bytes"):
        fetch_text(publisher.url)
    publisher.content = b"\xff\xfe\x00"
    with pytest.raises(DataError, match="no text file"):
        fetch_text(publisher.url)


def test_text_that_is_cut_or_absent_is_fetched_again_or_refused(publisher: "Publisher") -> None:
    publisher.content = b"be20"
    publisher.cuts = [2]
    publisher.statuses = [503]
    assert fetch_text(publisher.url, backoff_seconds=0.001) == "be20"
    publisher.statuses = [404]
    with pytest.raises(DataError, match=f"cannot download {publisher.url}: the server answered 404 Not Found"):
        fetch_text(publisher.url)


def test_verify_accepts_the_right_file_and_names_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    verify(tmp_path / "file", f"sha256:{_sha256(b'abc')}")
    verify(tmp_path / "file", "MD5:900150983CD24FB0D6963F7D28E17F72")
    with pytest.raises(DataError, match=f"expected {WRONG_SHA256}, found sha256:ba7816bf"):
        verify(tmp_path / "file", WRONG_SHA256)
    with pytest.raises(DataError, match=r"cannot read .*missing: No such file"):
        verify(tmp_path / "missing", WRONG_SHA256)


def test_messages_end_in_one_dot(publisher: "Publisher", target: Path) -> None:
    messages = []
    for checksum, url in (
        (WRONG_MD5, publisher.url),
        (None, "http://[x"),
        (None, "ftp://x"),
        (None, "http://0.0.0.0:1"),
    ):
        with pytest.raises(LlaraError) as refused:
            download(f"{url}/file.zip", target, checksum=checksum, attempts=1)
        messages.append(str(refused.value))
    assert all(message.endswith(".") for message in messages)
    assert not [message for message in messages if ".." in message or " ." in message]


def test_an_answer_larger_than_any_data_set_is_left(
    publisher: "Publisher", target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "MOST_BYTES", len(publisher.content) - 1)
    with pytest.raises(DataError, match="the most that are downloaded"):
        publisher.get(target)
    assert not target.exists()
