"""Writing result files so that an interruption or a full disk leaves the earlier file as it was."""

import os
from collections.abc import Callable
from pathlib import Path

from llara.errors import DataError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbor of `path`, then put it in place in one step.

    Args:
        path: The file to create or replace; missing parent folders are made.
        write: Writes the whole content to the path that it is given.

    Raises:
        DataError: If the file system refuses (full, read-only); the earlier file, if any, is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(
            f"{path}: could not be written ({error.strerror or error}). An earlier file of that name is unchanged. "
            f"Free space or choose a folder that you may write to, then run the command again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
