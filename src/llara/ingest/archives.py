"""Plain content of packed files (.gz, .zip), within limits of size, ratio and length of a line."""

import gzip
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llara.data.files import DISK_ERRORS
from llara.data.tables import FREE_BYTES, MOST_RATIO
from llara.errors import DataError

LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line is a sign of a file that is no table, or of a quote that is never closed."""

LARGEST_UNPACKED = 256 * 2**30
"""Bytes; the largest files that recommendation data is published in are a tenth of it."""

_PACKED = {".gz", ".zip"}
_BLOCK = 2**20


def inner_name(path: Path) -> str:
    """The file's name without ".gz" or ".zip": its last suffix says how the content is written."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in _PACKED else path.name


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The file's plain content: the file itself, or what a .gz or a .zip with one file in it holds.

    Args:
        path: An existing file.

    Yields:
        Where the content lies; a copy is removed when the block ends.

    Raises:
        DataError: If the archive is damaged or cut short, a .zip holds several files, or the content is larger than
            `LARGEST_UNPACKED`, or than `FREE_BYTES` and `MOST_RATIO` times what is packed.
    """
    if path.suffix.lower() not in _PACKED:
        yield path
        return
    with scratch_folder() as folder:
        target = folder / inner_name(path)
        with _reading(path), target.open("wb") as copy:
            if path.suffix.lower() == ".gz":
                with gzip.open(path) as content:
                    _copy(content, copy, path, packed_size=path.stat().st_size)
            else:
                with zipfile.ZipFile(path) as archive:
                    _copy_member(archive, _only_member(path, archive), copy, path)
        yield target


def extract(archive_path: Path, member: str, folder: Path) -> Path:
    """Copy one member of a .zip into a folder, under its own name without the path before it.

    Raises:
        DataError: As `unpacked`.
    """
    target = folder / Path(member).name
    with (
        _reading(archive_path),
        zipfile.ZipFile(archive_path) as archive,
        target.open("wb") as copy,
    ):
        _copy_member(archive, archive.getinfo(member), copy, archive_path)
    return target


def first_packed_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file's content, packed as .gz or not.

    Raises:
        DataError: If the archive is damaged.
    """
    with _reading(path), gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as content:
        return content.read(count)


def members(archive_path: Path) -> list[str]:
    """Names of the files in a .zip.

    Raises:
        DataError: If it is no readable .zip.
    """
    with _reading(archive_path), zipfile.ZipFile(archive_path) as archive:
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    return [name for name in names if not _is_of_macos(name)]


def _copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, copy: IO[bytes], path: Path) -> None:
    # What the archive says of a member's packed size may be false; it cannot be more than the archive.
    packed_size = min(member.compress_size, path.stat().st_size)
    _refuse_swollen(member.file_size, packed_size, path)
    with archive.open(member) as content:
        _copy(content, copy, path, packed_size=packed_size)


def _copy(content: IO[bytes] | gzip.GzipFile, copy: IO[bytes], path: Path, *, packed_size: int) -> None:
    """Copy what is unpacked, and stop as soon as it is more than `packed_size` bytes of data can be."""
    done = 0
    while block := content.read(_BLOCK):
        done += len(block)
        _refuse_swollen(done, packed_size, path)
        copy.write(block)


def _refuse_swollen(size: int, packed_size: int, path: Path) -> None:
    most = min(LARGEST_UNPACKED, max(FREE_BYTES, MOST_RATIO * packed_size))
    if size > most:
        raise DataError(
            f"{path.name} ({packed_size:,} bytes packed) unpacks to more than {most:,} bytes: at most {MOST_RATIO} "
            f"times the packed size and {LARGEST_UNPACKED // 2**30} GiB are unpacked. Is it the right file? If it is, "
            "unpack it yourself and name the unpacked file."
        )


def refuse_long_lines(path: Path, name: str) -> None:
    """Raise DataError at the first line of more than `LONGEST_LINE` bytes; reads the file once, in blocks."""
    number, carried = 1, 0
    with path.open("rb") as file:
        while block := file.read(LONGEST_LINE):
            first = block.find(b"\n")
            if carried + (first if first >= 0 else len(block)) > LONGEST_LINE:
                doubt = "Does it end its lines in carriage returns alone, or is" if b"\r" in block else "Is"
                raise DataError(
                    f"{name} line {number + _breaks_before(file, len(block))}: the line is longer than "
                    f"{LONGEST_LINE // 2**20} MiB. {doubt} a quote never closed, or is the file not one row per line?"
                )
            carried = carried + len(block) if first < 0 else len(block) - 1 - block.rfind(b"\n")


def _breaks_before(file: IO[bytes], last_block: int) -> int:
    """Line breaks before the block that was read last."""
    end = file.tell() - last_block
    file.seek(0)
    breaks = 0
    while end > 0 and (block := file.read(min(end, LONGEST_LINE))):
        breaks += block.count(b"\n")
        end -= len(block)
    return breaks


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    files = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_of_macos(entry.filename)]
    if len(files) == 1:
        return files[0]
    names = ", ".join(entry.filename for entry in files[:6]) + (", ..." if len(files) > 6 else "")
    raise DataError(
        f"{path.name} holds {len(files)} files ({names}); one was expected. Unpack it and name the file, or read a "
        "known data set with `llara data import --source`."
    )


def _is_of_macos(name: str) -> bool:
    """What macOS packs beside the files themselves."""
    return name.startswith("__MACOSX/") or name.rsplit("/", maxsplit=1)[-1].startswith("._")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, removed when the block ends.

    Raises:
        DataError: If there is no room for one.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="llara-")
    except OSError as error:
        raise DataError(
            f"cannot make a temporary folder ({error}). Free space, or set TMPDIR to a folder that has it."
        ) from error
    with folder as name:
        yield Path(name)


@contextmanager
def copying(path: Path) -> Iterator[None]:
    """Turn a full or failing disk into a DataError while a file's content is copied into a temporary folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise DataError(
            f"cannot unpack or convert {path} in {tempfile.gettempdir()}: {error.strerror}. Free space there, or set "
            "TMPDIR to a folder that has it."
        ) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        with copying(path):
            yield
    except (EOFError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short ({error}). Is the download complete?") from error
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be unpacked here ({error}). Unpack it yourself and name the file.") from error
