"""Getting a publisher's files: into a folder of their own, verified, resumed where a download was cut."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from llara.data.files import write_atomically
from llara.errors import ConfigError, DataError
from llara.ingest.sources.downloading import download, fetch_text
from llara.ingest.sources.source import RemoteFile, Source

_RECORD = "checksums.json"
OnProgress = Callable[[str, int, int | None], None]


def fetch_files(
    source: Source,
    cache: Path,
    *,
    category: str | None = None,
    mirror: str | None = None,
    checksums: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Download what a source consists of; files that are there already are verified and kept.

    A file whose checksum nobody publishes is recorded with the one that it had when it first arrived, and refused
    when it is another one later.

    Args:
        source: Which data set.
        cache: Folder for downloads; the files lie in a folder of the source's name in it.
        category: Which part of a collection.
        mirror: Address of a folder that holds the files under their names, instead of the publisher's.
        checksums: By file name, in place of the known ones: "sha256:..." or "md5:...".
        on_progress: Called with file name, bytes done, bytes in all.

    Returns:
        The folder with the files, or the .zip if it is the only file.

    Raises:
        ConfigError: If the category is missing or unknown.
        DataError: If a file cannot be downloaded or is not the expected one.
    """
    _refuse_category(source, category)
    unknown = set(checksums or {}) - {file.of_category(category).name for file in source.files}
    if unknown:
        known = ", ".join(file.of_category(category).name for file in source.files)
        raise ConfigError(f"--checksum {min(unknown)}: source {source.name!r} has no such file; it has {known}.")
    folder = cache / (source.name if category is None else f"{source.name}-{category}")
    recorded = _read_record(folder)
    files = [file.of_category(category) for file in source.files]
    for file in files:
        url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
        checksum = (checksums or {}).get(file.name) or _known_checksum(file, mirror, folder) or recorded.get(file.name)
        found = download(url, folder / file.name, checksum=checksum, on_progress=_named(on_progress, file.name))
        recorded[file.name] = f"sha256:{found}"
        _write_record(folder, recorded)
    return folder / files[0].name if len(files) == 1 and files[0].name.endswith(".zip") else folder


def _known_checksum(file: RemoteFile, mirror: str | None, folder: Path) -> str | None:
    """The pinned checksum, or the one that the publisher keeps beside a file that changes from time to time."""
    if file.checksum is not None or file.checksum_url is None or (folder / file.name).is_file():
        return file.checksum
    name = file.checksum_url.rsplit("/", maxsplit=1)[-1]
    text = fetch_text(f"{mirror.rstrip('/')}/{name}" if mirror else file.checksum_url)
    for word in text.replace("=", " ").split():
        if len(word) == 32 and all(character in "0123456789abcdef" for character in word.lower()):
            return f"md5:{word.lower()}"
    raise DataError(
        f"{name}, beside {file.name}, holds no md5 checksum. Give the file's own as --checksum "
        f"{file.name}=sha256:DIGITS."
    )


def _named(on_progress: OnProgress | None, name: str) -> Callable[[int, int | None], None] | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)


def _refuse_category(source: Source, category: str | None) -> None:
    known = ", ".join(source.categories)
    if source.categories and category is None:
        raise ConfigError(f"source {source.name!r} has several parts; name one with --category: {known}.")
    if category is not None and category not in source.categories:
        parts = f"Its parts are {known}." if known else "It has no parts: leave out --category."
        raise ConfigError(f"source {source.name!r} has no part {category!r}. {parts}")


def _read_record(folder: Path) -> dict[str, str]:
    path = folder / _RECORD
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}). Remove it to record the files anew.") from error
    if not isinstance(content, dict) or not all(isinstance(checksum, str) for checksum in content.values()):
        raise DataError(f"{path} is no record of checksums by file name. Remove it to record the files anew.")
    return {name: checksum for name, checksum in content.items() if (folder / name).is_file()}


def _write_record(folder: Path, recorded: Mapping[str, str]) -> None:
    content = json.dumps(dict(recorded), indent=2) + "\n"
    write_atomically(folder / _RECORD, lambda partial: _write(partial, content))


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
