"""Whether a run folder is what its run left: every file's hash stands in the manifest."""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llara.data.files import sha256_of, unused_name
from llara.errors import CheckpointError

MANIFEST_FILE = "manifest.json"
_LATER = ("evaluations",)
"""Folders that are filled after the run has ended."""
_LAYOUT = "src/llara/run/"
_TIMEOUT_SECONDS = 5


def record_files(folder: Path) -> None:
    """Write the hash of every file into the manifest: the last act of a run, and of whatever changes it on purpose.

    Raises:
        OSError: If the disk refuses; the manifest is untouched then.
    """
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    names = sorted(path.relative_to(folder).as_posix() for path in _files(folder))
    replace_text(path, json.dumps({**content, "files": _hashes(folder, names)}, indent=2))


def check_files(folder: Path, recorded: object) -> None:
    """Refuse a run whose files are not those that it left; files that came later are none of its business.

    Args:
        folder: The run.
        recorded: `files` of its manifest.

    Raises:
        CheckpointError: If one is missing, truncated or changed; the message names it.
    """
    if not isinstance(recorded, dict):
        raise CheckpointError(
            f"{folder / MANIFEST_FILE} has no hashes of the run's files: it was made before runs were checked, or is "
            "damaged. Train again, or copy the run folder again."
        )
    for name in recorded:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing. Copy the run folder again.")
    for name, found in _hashes(folder, list(recorded)).items():
        if found != recorded[name]:
            raise CheckpointError(
                f"{folder / name} is damaged or was changed: its sha256 is not that in {MANIFEST_FILE}. "
                "Copy the run folder again."
            )


def foreign_files(folder: Path, recorded: object) -> list[str]:
    """Files in a run that neither the run nor a later evaluation has left: somebody put them there.

    Args:
        folder: The run.
        recorded: `files` of its manifest; nothing is known to be ours without it.
    """
    known = recorded if isinstance(recorded, dict) else {}
    return sorted({path.relative_to(folder).as_posix() for path in _files(folder)} - set(known))


def replace_text(path: Path, text: str) -> None:
    """Write a text file that is there as a whole or not at all, so that a full disk leaves the one before.

    Raises:
        OSError: If the disk refuses.
    """
    partial = unused_name(path)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def commit_of(source: Path) -> str | None:
    """Commit of llara's repository, if a source file lies in one; None for an installed copy.

    An installed copy often lies below a repository of the user's, whose commit says nothing about it.

    Args:
        source: A file of this package's `run` folder.
    """
    folder = source.resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", source.name) is None:
        return None
    if _git(folder, "rev-parse", "--show-prefix") != _LAYOUT:
        return None
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says about the repository around a folder; None where there is no git, or none is around."""
    elsewhere = {name for name in os.environ if name.startswith("GIT_")}  # such as GIT_DIR, set inside of hooks
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True,
            timeout=_TIMEOUT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden_or_own = len(parts) == 1 and (path.name == MANIFEST_FILE or path.name.startswith(".llara"))
        if path.is_file() and not hidden_or_own and parts[0] not in _LATER:
            yield path


def _hashes(folder: Path, names: list[str]) -> dict[str, str]:
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        return dict(zip(names, pool.map(lambda name: sha256_of(folder / name), names), strict=True))
