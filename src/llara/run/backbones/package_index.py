"""Where a package's file is to be had: the simple interface (PEP 503, PEP 691) of the index that pip is set up for.

So mirrors and private indexes work as they do for pip. Nothing is installed, imported or run.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from llara.errors import ConfigError, DataError
from llara.ingest.sources.downloading import Remedies, fetch_text, public_url

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LARGEST_PAGE = 16 * 2**20
_SETTING = re.compile(r"^(:env:|global|download)\.(index-url|extra-index-url|find-links|no-index)=(.*)$")
_DEFAULT = re.compile(r"Python Package Index \(default (\S+?)\)")
_SECONDS = 60


@dataclass(frozen=True)
class Places:
    """Where pip would look.

    Attributes:
        indexes: Addresses of indexes, http(s) or file.
        folders: Folders on this machine that hold packages' files.
    """

    indexes: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def pip_places() -> Places:
    """The indexes and folders that pip is set up for, by its files and by variables such as PIP_INDEX_URL.

    Raises:
        ConfigError: If pip is not there to be asked.
    """
    settings = _pip_settings()
    indexes: list[str] = []
    if settings.get("no-index", "false").lower() not in ("true", "1", "yes", "on"):
        indexes = [settings.get("index-url") or _default_index(), *settings.get("extra-index-url", "").split()]
    folders = (_local(place) or Path(place) for place in settings.get("find-links", "").split())
    return Places(tuple(indexes), tuple(folder for folder in folders if folder.is_dir()))


def find_file(package: str, filename: str, places: Places, remedies: Remedies) -> str | Path:
    """Where a package's file is: an address, or a path on this machine.

    Args:
        package: The package's name.
        filename: The file wanted.
        places: Where to look, in that order, folders first.
        remedies: What messages propose.

    Raises:
        ConfigError: If an index has no address that can be asked.
        DataError: If no place has the file; the message says what each answered.
    """
    for folder in places.folders:
        if (folder / filename).is_file():
            return folder / filename
    answers = []
    for index in places.indexes:
        try:
            found = _links(index, package, remedies).get(filename)
        except DataError as error:
            answers.append(str(error).partition(". ")[0])
            continue
        if found is not None:
            return _local(found) or found
        answers.append(f"{public_url(index)} has no such file")
    asked = "; ".join(answers) or "there is no place to look"
    raise DataError(
        f"{filename} was not found in the package index that pip is set up for: {asked}. Check the connection and the "
        f"address, {remedies.elsewhere}, or {remedies.by_hand}."
    )


def _links(index: str, package: str, remedies: Remedies) -> dict[str, str]:
    """Addresses of a package's files by their names, as an index lists them."""
    url = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
    folder = _local(url)
    if folder is not None:
        page = folder / "index.html"
        if not page.is_file():
            raise DataError(f"{public_url(index)} has no page for {package}. ")
        text = page.read_text(encoding="utf-8", errors="replace")
    elif urlsplit(url).scheme in ("http", "https"):
        text = fetch_text(url, limit=_LARGEST_PAGE, accept=_ACCEPT, remedies=remedies)
    else:
        raise ConfigError(
            f"a package index must have an http(s) or file address, got {public_url(index)!r}. Give one with --index."
        )
    hrefs = _listed(text, url) if text.lstrip().startswith("{") else _anchors(text)
    return {_file_name(href): _with_credentials(urljoin(url, href), url) for href in hrefs}


def _listed(text: str, url: str) -> list[str]:
    try:
        return [str(file["url"]) for file in json.loads(text)["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{public_url(url)} is no page of a package index ({error!r}). ") from error


def _anchors(text: str) -> list[str]:
    found: list[str] = []

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                found.extend(value for name, value in attrs if name == "href" and value)

    Anchors().feed(text)
    return found


def _file_name(href: str) -> str:
    return unquote(urlsplit(href).path).rsplit("/", maxsplit=1)[-1]


def _with_credentials(url: str, index: str) -> str:
    """Name and password of an index are meant for the files on the same server, too."""
    found, asked = urlsplit(url), urlsplit(index)
    if found.hostname != asked.hostname or "@" in found.netloc or "@" not in asked.netloc:
        return url
    return found._replace(netloc=f"{asked.netloc.rpartition('@')[0]}@{found.netloc}").geturl()


def _local(url: str) -> Path | None:
    """The path of a file address."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _pip_settings() -> dict[str, str]:
    """What `pip config list` says; variables go before the settings of `pip download`, those before general ones."""
    found: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in _ask_pip("config", "list").splitlines():
        setting = _SETTING.match(line.strip())
        if setting is not None:
            section, name, value = setting.groups()
            found[section][name] = str(ast.literal_eval(value))
    return {**found["global"], **found["download"], **found[":env:"]}


def _default_index() -> str:
    """The index that pip asks where none is set up: what it says of itself."""
    said = _DEFAULT.search(" ".join(_ask_pip("help", "download").split()))
    if said is None:
        raise ConfigError("pip does not say which package index it asks. Give its address with --index.")
    return said[1]


def _ask_pip(*words: str) -> str:
    command: Sequence[str] = (sys.executable, "-m", "pip", "--no-color", "--disable-pip-version-check", *words)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            "the package index is taken from pip's settings, and pip cannot be asked here. Give the index's address "
            "with --index."
        ) from error
    return done.stdout
