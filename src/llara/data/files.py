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
    partial = unused_name(path)
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
def new_folder(path: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """Fill a folder beside `path` that takes its place once the block ends without an error.

    Args:
        path: Where the folder shall be. An existing empty folder counts as free.
        force: Replace a folder that is there already. It is removed only after the new one is complete.
        marker: A file that only folders of this kind hold: `force` replaces no other folder. It is made here unless
            the block writes it.

    Yields:
        The folder to write into. On an error or an interrupt it is removed, and an earlier folder at `path` stays.

    Raises:
        ConfigError: If `path` is taken and `force` is not set, or what is there is not of this kind.
        DataError: If the disk is full or the place cannot be written to.
    """
    refuse_taken(path, force=force, marker=marker)
    partial = unused_name(path)
    _make_folder(partial, path)
    try:
        yield partial
        (partial / marker).touch()
        swap_in(partial, path, marker=marker)
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


def refuse_taken(path: Path, *, force: bool, marker: str) -> None:
    """Raise ConfigError unless `new_folder` may write to `path`: for a look before long work starts."""
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"{path} is a file, a folder was expected. Choose another name for the output.")
    if not any(path.iterdir()):
        return
    if not force:
        raise ConfigError(f"{path} exists already. Choose another folder, or pass --force to replace it.")
    if not is_own(path, marker=marker):
        raise ConfigError(
            f"{path} holds no {marker}, so --force will not replace it: it is no folder of this kind. "
            "Choose another folder, or remove this one yourself."
        )


def is_own(folder: Path, *, marker: str) -> bool:
    """Whether a folder is of the kind that `marker` marks, or empty: only such a folder may be removed."""
    return folder.is_dir() and ((folder / marker).is_file() or not any(folder.iterdir()))


def remove_own(folder: Path, *, marker: str) -> None:
    """Remove a folder that this program made; one that is not there is fine.

    Args:
        folder: A link to a folder loses the link, not the folder.
        marker: The file that says what made it.

    Raises:
        ConfigError: If it does not hold the marker; it is untouched then.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not is_own(folder, marker=marker):
        raise ConfigError(
            f"{folder} holds no {marker}: it was not made by llara for this, and is not removed. "
            "Move it away, or choose another output."
        )
    aside = unused_name(folder)
    folder.rename(aside)  # so that an interruption never leaves half of it under its name
    _discard(aside)


def swap_in(partial: Path, path: Path, *, marker: str) -> None:
    """Rename `partial` to `path`; an old folder there steps aside first, is removed last, and steps back on a failure.

    Raises:
        ConfigError: If what is at `path` does not hold the marker; both are untouched then.
    """
    if not path.exists():
        partial.rename(path)
        return
    refuse_taken(path, force=True, marker=marker)
    old = unused_name(path)
    path.rename(old)
    try:
        partial.rename(path)
    finally:
        if path.exists():
            _discard(old)
        else:
            old.rename(path)


def unused_name(path: Path) -> Path:
    """A hidden name beside `path` that nobody else uses: for what is about to take its place, or steps aside."""
    return path.absolute().parent / f".{path.absolute().name}.{secrets.token_hex(4)}.partial"


def _discard(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(folder: Path, path: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _is_about_writing(error: OSError, partial: Path, path: Path) -> bool:
    """Whether the disk or the place refuses; an OSError about something else, such as a missing input, is not ours."""
    named = str(error.filename or "")
    return error.errno in DISK_ERRORS or named == str(path) or named.startswith(str(partial))


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cannot_write(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"cannot write {path}: {reason}. Whatever was there before is untouched. "
        "Free space or choose a folder that you may write to, then run the same command again."
    )
