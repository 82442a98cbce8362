"""Downloading large files over connections that break: a file is whole or absent, and is resumed where it was cut.

httpx2 does the talking: it is with us through huggingface_hub, is maintained, tells a cut body from a whole one, and
heeds the system's certificates and proxies. urllib takes a cut body for the end of the file; pooch cannot resume.
Import this module where it is used: httpx2 takes a tenth of a second to load.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from llara.data.files import sha256_of
from llara.errors import ConfigError, DataError
from llara.ingest.sources.partial import PartialFile, Version

OnProgress = Callable[[int, int | None], None]
Result = TypeVar("Result")

MOST_BYTES = 256 * 2**30
"""A larger answer is no data set that can be read here; some servers never stop."""
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_HASH_LENGTHS = {"md5": 32, "sha256": 64}
_REPORTS_PER_SECOND = 10


@dataclass(frozen=True, kw_only=True)
class Remedies:
    """What messages propose where a download fails: it depends on what is downloaded, and by which command.

    Attributes:
        elsewhere: How to take the file from another place.
        by_hand: How to do without this download.
        replaced: What to do if the publisher has another file now; "{name}" stands for the file's name.
    """

    elsewhere: str
    by_hand: str
    replaced: str


DATA_REMEDIES = Remedies(
    elsewhere="give another address with --mirror",
    by_hand="download it by hand from the data set's homepage and use `llara data import --source`",
    replaced="pass the new one's checksum as --checksum {name}=sha256:DIGITS",
)


def download(
    url: str,
    target: Path,
    *,
    checksum: str | None,
    on_progress: OnProgress | None = None,
    attempts: int = 3,
    backoff_seconds: float = 1.0,
    timeout_seconds: float = 30.0,
    remedies: Remedies = DATA_REMEDIES,
) -> str:
    """Download a file so that it is whole or absent.

    What has arrived is kept in `<target>.part`, and the next attempt or the next call goes on from there if the
    server still has the same version of the file.

    Args:
        url: An http or https address; redirects are followed.
        target: Where the file shall be. One that is there already is verified and kept.
        checksum: "md5:..." or "sha256:..."; None accepts whatever the server sends.
        on_progress: Called with the bytes done and the bytes in all, if known: when a transfer starts (at the offset
            where it resumes; at 0 again if it has to start over), some ten times a second, and at its end.
        attempts: How often to ask the server, >= 1, while the trouble is one that may pass.
        backoff_seconds: Pause after the first failed attempt; doubled after each further one.
        timeout_seconds: How long the server may be silent.
        remedies: What messages propose.

    Returns:
        The file's sha256, in hexadecimal.

    Raises:
        ConfigError: If the address is not http(s), or the checksum is not written as above.
        DataError: If the file cannot be downloaded or written, is not the expected one, or another process is
            downloading it. The message says what to do; an interrupt passes through. Both keep what has arrived,
            except for a file with the wrong checksum, which is removed.
    """
    _refuse_other_schemes(url)
    if checksum is not None:
        _parse(checksum)
    if target.exists():
        if checksum is not None:
            verify(target, checksum, remedies)
        return _digest(target, "sha256")
    partial = PartialFile(target, public_url(url))
    progress = _Progress(on_progress)
    with partial.locked():
        _persist(
            lambda client: _receive(client, url, partial, progress),
            url=url,
            attempts=attempts,
            backoff_seconds=backoff_seconds,
            timeout_seconds=timeout_seconds,
            kept=partial.describe,
            remedies=remedies,
        )
        return _accept(partial, checksum, url, remedies)


def fetch_text(
    url: str,
    *,
    limit: int = 65536,
    accept: str | None = None,
    attempts: int = 3,
    backoff_seconds: float = 1.0,
    timeout_seconds: float = 30.0,
    remedies: Remedies = DATA_REMEDIES,
) -> str:
    """The text of a small file, such as the checksum that a publisher keeps beside a large one.

    Args:
        url: An http or https address; redirects are followed.
        limit: Bytes that the file may have at most.
        accept: Which forms of it are wanted, for a server that has several.
        attempts: As for `download`.
        backoff_seconds: As for `download`.
        timeout_seconds: As for `download`.
        remedies: As for `download`.

    Raises:
        ConfigError: If the address is not http(s).
        DataError: If the file cannot be downloaded, is larger than `limit` or is not UTF-8.
    """
    _refuse_other_schemes(url)
    content = _persist(
        lambda client: _receive_small(client, url, limit, {} if accept is None else {"Accept": accept}),
        url=url,
        attempts=attempts,
        backoff_seconds=backoff_seconds,
        timeout_seconds=timeout_seconds,
        kept=lambda: "",
        remedies=remedies,
    )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{public_url(url)} is no text file ({error}). Is the address right?") from error


def verify(path: Path, checksum: str, remedies: Remedies = DATA_REMEDIES) -> None:
    """Compare a file with the checksum that it should have.

    Args:
        path: The file.
        checksum: "md5:..." or "sha256:...".
        remedies: What messages propose.

    Raises:
        ConfigError: If the checksum is not written as above.
        DataError: If the file has another one, or cannot be read.
    """
    algorithm, expected = _parse(checksum)
    found = _digest(path, algorithm)
    if found != expected:
        raise DataError(
            f"{path} is not the expected file: expected {algorithm}:{expected}, found {algorithm}:{found}. "
            f"Remove it to download it again, or {remedies.replaced.format(name=path.name)}."
        )


class _Progress:
    """Passes reports on, but no more than a terminal can show."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._last = float("-inf")

    def __call__(self, done: int, total: int | None, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._on_progress is not None and (force or now - self._last >= 1 / _REPORTS_PER_SECOND):
            self._last = now
            self._on_progress(done, total)


def _persist(
    receive: Callable[[httpx2.Client], Result],
    *,
    url: str,
    attempts: int,
    backoff_seconds: float,
    timeout_seconds: float,
    kept: Callable[[], str],
    remedies: Remedies,
) -> Result:
    """Repeat `receive` while it fails for a reason that may pass, and turn the last failure into a DataError."""
    attempt = 1
    with _new_client(timeout_seconds) as client:
        while True:
            try:
                return receive(client)
            except httpx2.HTTPError as error:
                if attempt >= attempts or not _may_pass(error):
                    raise _cannot_download(url, error, attempt, kept(), remedies) from error
            time.sleep(backoff_seconds * 2 ** (attempt - 1))
            attempt += 1


def _new_client(timeout_seconds: float) -> httpx2.Client:
    # Compression is declined: offsets, lengths and checksums are those of the bytes that the publisher stores.
    headers = {"User-Agent": "llara", "Accept-Encoding": "identity"}
    try:
        return httpx2.Client(headers=headers, timeout=timeout_seconds, follow_redirects=True)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"cannot prepare a connection ({error}). Check the proxy and certificate settings in your environment "
            "(HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE, SSL_CERT_DIR)."
        ) from error


def _receive(client: httpx2.Client, url: str, partial: PartialFile, progress: _Progress) -> None:
    if not _request(client, url, partial, progress):
        partial.discard()
        if not _request(client, url, partial, progress):
            raise httpx2.RemoteProtocolError("the server answered with a part of the file when asked for all of it")


def _request(client: httpx2.Client, url: str, partial: PartialFile, progress: _Progress) -> bool:
    """Ask for what is missing, or for the whole file; False if the answer does not fit what is here already."""
    with client.stream("GET", url, headers=partial.range_headers()) as response:
        version = Version.of(response, partial.url)
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and partial.size > 0:
            if not partial.is_all_of(version):
                return False
        elif response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if not partial.is_continued_by(version):
                return False
        else:
            _refuse_other_status(response)
            partial.restart(version)
        _copy(response, version.length, partial, progress)
    return True


def _copy(response: httpx2.Response, total: int | None, partial: PartialFile, progress: _Progress) -> None:
    done = partial.size
    progress(done, total, force=True)
    _refuse_larger(max(done, total or 0), response)
    if done != total:
        with partial.appending() as append:
            for chunk in response.iter_raw():
                append(chunk)
                done += len(chunk)
                _refuse_larger(done, response)
                progress(done, total)
        progress(done, total, force=True)
    if total is not None and done != total:
        raise httpx2.RemoteProtocolError(f"{done} bytes arrived, {total} were announced")


def _refuse_larger(size: int, response: httpx2.Response) -> None:
    if size > MOST_BYTES:
        raise DataError(
            f"{public_url(str(response.url))} has more than {MOST_BYTES:,} bytes, the most that are downloaded. Is the "
            "address right? If it is, download it by hand and use `llara data import --source`."
        )


def _receive_small(client: httpx2.Client, url: str, limit: int, headers: dict[str, str]) -> bytes:
    content = b""
    with client.stream("GET", url, headers=headers) as response:
        _refuse_other_status(response)
        for chunk in response.iter_raw():  # as sent: a packed answer could swell
            content += chunk
            if len(content) > limit:
                raise DataError(
                    f"{public_url(url)} has more than the {limit} bytes expected of it. Is the address right?"
                )
    return content


def _refuse_other_status(response: httpx2.Response) -> None:
    if response.status_code != HTTPStatus.OK:
        status = f"{response.status_code} {response.reason_phrase}".strip()
        raise httpx2.HTTPStatusError(f"the server answered {status}", request=response.request, response=response)


def _may_pass(error: httpx2.HTTPError) -> bool:
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code in _PASSING_STATUS
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


def _accept(partial: PartialFile, checksum: str | None, url: str, remedies: Remedies) -> str:
    """Move the file into place if it is the expected one."""
    partial.flush()
    algorithm, expected = ("sha256", None) if checksum is None else _parse(checksum)
    found = _digest(partial.path, algorithm)
    if expected is not None and found != expected:
        partial.discard()
        raise DataError(
            f"{public_url(url)} is not the expected file: expected {algorithm}:{expected}, found {algorithm}:{found}; "
            "what was downloaded is removed. Run the same command again in case it was damaged on the way; if the "
            f"publisher replaced the file, {remedies.replaced.format(name=partial.target.name)}."
        )
    sha256 = found if algorithm == "sha256" else _digest(partial.path, "sha256")
    partial.move_into_place()
    return sha256


def _digest(path: Path, algorithm: str) -> str:
    try:
        if algorithm == "sha256":
            return sha256_of(path)
        with path.open("rb") as file:
            # md5 is what publishers print; it tells a damaged file, which is all that it is asked to do here.
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. Remove it, then run again.") from error


def _parse(checksum: str) -> tuple[str, str]:
    algorithm, _, digits = checksum.strip().lower().partition(":")
    if len(digits) != _HASH_LENGTHS.get(algorithm) or not set(digits) <= set("0123456789abcdef"):
        raise ConfigError(
            f"a checksum must be 'md5:' with 32 or 'sha256:' with 64 hexadecimal digits, got {checksum!r}."
        )
    return algorithm, digits


def _refuse_other_schemes(url: str) -> None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigError(
            f"{public_url(url)} is no address ({error}). Give one such as https://example.org/files."
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(
            f"cannot download {public_url(url)}: only http:// and https:// addresses are supported. "
            "For files that are on this computer, use `llara data import --source`."
        )


def public_url(url: str) -> str:
    """The address without a user's name and password, for messages and for what is kept on the disk."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _cannot_download(url: str, error: httpx2.HTTPError, attempts: int, kept: str, remedies: Remedies) -> DataError:
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    reason = str(error).rstrip(". ") or type(error).__name__
    message = f"cannot download {public_url(url)}: {reason}{tried}. {kept}"
    if _may_pass(error):
        return DataError(f"{message}Check the connection and run the same command again, or {remedies.elsewhere}.")
    return DataError(f"{message}The file may have moved: {remedies.elsewhere}, or {remedies.by_hand}.")
