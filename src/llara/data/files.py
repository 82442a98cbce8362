"""Writing that cannot lose anything: what was there survives until what replaces it is complete."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from llara.errors import ConfigError, DataError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside `path` and rename it into place once it is complete and on the disk.

    Args:
        path: Where the file shall be; an earlier one there is replaced.
        write: Writes the whole content to the path it is given.

    Raises:
        DataError: If the disk is full or the folder cannot be written to; an earlier file at `path` is untouched.
            An interrupt or an error of `write` itself passes through, and leaves the earlier file untouched as well.
    """
    partial = _partial_name(path)
    _make_folder(path.parent, path)
    try:
        write(partial)
        _flush_to_disk(partial)
        partial.replace(path)
    except OSError as error:
        if not _is_about_writing(error, partial, path):
            raise
        raise _cannot_write(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool, marker: str | None = None) -> Iterator[Path]:
    """Fill a folder beside `path` that takes its place once the block ends without an error.

    Args:
        path: Where the folder shall be. An existing empty folder counts as free.
        force: Replace a folder that is there already. It is removed only after the new one is complete.
        marker: A file that only folders of this kind hold: `force` replaces no other folder.

    Yields:
        The folder to write into. On an error or an interrupt it is removed, and an earlier folder at `path` stays.

    Raises:
        ConfigError: If `path` is taken and `force` is not set, or what is there is not of this kind.
        DataError: If the disk is full or the place cannot be written to.
    """
    refuse_taken(path, force=force, marker=marker)
    partial = _partial_name(path)
    _make_folder(partial, path)
    try:
        yield partial
        _swap_in(partial, path)
    except OSError as error:
        if not _is_about_writing(error, partial, path):
            raise
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sha256_of(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file inside one of the two writers above.

    Raises:
        OSError: If the disk refuses; polars reports that as an error of its own, which `write_atomically` and
            `new_folder` would not recognize.
    """
    try:
        frame.write_parquet(path)
    except PolarsError as error:
        raise OSError(errno.EIO, str(error)) from error


def refuse_taken(path: Path, *, force: bool, marker: str | None) -> None:
    """Raise ConfigError unless `new_folder` may write to `path`: for a look before long work starts."""
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"{path} is a file, a folder was expected. Choose another name for the output.")
    if not any(path.iterdir()):
        return
    if not force:
        raise ConfigError(f"{path} exists already. Choose another folder, or pass --force to replace it.")
    if marker is not None and not (path / marker).is_file():
        raise ConfigError(
            f"{path} holds no {marker}, so --force will not replace it: it is no folder of this kind. "
            "Choose another folder, or remove this one yourself."
        )


def _swap_in(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`; the old folder steps aside first and steps back if that fails."""
    if not path.exists():
        partial.rename(path)
        return
    old = _partial_name(path)
    path.rename(old)
    try:
        partial.rename(path)
    finally:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)


def _make_folder(folder: Path, path: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _is_about_writing(error: OSError, partial: Path, path: Path) -> bool:
    """Whether the disk or the place refuses; an OSError about something else, such as a missing input, is not ours."""
    named = str(error.filename or "")
    return error.errno in DISK_ERRORS or named == str(path) or named.startswith(str(partial))


def _partial_name(path: Path) -> Path:
    return path.absolute().parent / f".{path.absolute().name}.{secrets.token_hex(4)}.partial"


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cannot_write(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"cannot write {path}: {reason}. Whatever was there before is untouched. "
        "Free space or choose a folder that you may write to, then run the same command again."
    )
