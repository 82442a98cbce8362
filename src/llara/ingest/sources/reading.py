"""From a publisher's files to a dataset folder."""

from collections.abc import Mapping
from pathlib import Path

from polars.exceptions import PolarsError

from llara.data.files import refuse_taken
from llara.data.folder import INFO_FILE, DatasetInfo
from llara.data.tables import first_line
from llara.errors import DataError
from llara.ingest.archives import scratch_folder
from llara.ingest.shaping import ShapeConfig
from llara.ingest.sources.source import RawFiles, ReadOptions, Source
from llara.ingest.writing import RawLog, RawRows, write_log, write_rows


def import_source(
    source: Source,
    path: Path,
    output: Path,
    *,
    shape: ShapeConfig | None = None,
    split: Mapping[str, object] | None = None,
    category: str | None = None,
    name: str | None = None,
    noun: str | None = None,
    force: bool = False,
) -> DatasetInfo:
    """Make a dataset folder from a publisher's original files.

    Args:
        source: Which data set it is.
        path: A folder with the files, or the .zip as published; packed files (.gz) are read as they are.
        output: The dataset folder to make.
        shape: Which interactions count. None: all.
        split: How the data set is meant to be split, as in `DatasetInfo`.
        category: Which part of a collection; None: the only one there.
        name: Name of the data set. None: the name of the output folder.
        noun: What items are called. None: as the source says.
        force: Replace an existing dataset folder.

    Raises:
        DataError: If a file is missing or malformed; the message names file and line.
        ConfigError: If the output exists, or released rows shall be shaped.
    """
    refuse_taken(output, force=force, marker=INFO_FILE)
    shape = shape or ShapeConfig()
    source.refuse_unfit(shape, split, category)
    with scratch_folder() as scratch:
        raw = _read(source, path, scratch, ReadOptions(shape=shape, name=category))
        raw.origin.update({"source": source.name, "homepage": source.homepage, "category": category})
        if isinstance(raw, RawLog):
            return write_log(raw, output, name=name, noun=noun or source.noun, shape=shape, split=split, force=force)
        return write_rows(raw, output, name=name, noun=noun or source.noun, split=split, force=force)


def _read(source: Source, path: Path, scratch: Path, options: ReadOptions) -> RawLog | RawRows:
    """What the source gives; what only the parser notices is told with the files that were read by then."""
    read: list[str] = []
    try:
        files = RawFiles(path, scratch)
        read = files.read
        return source.read(files, options)
    except PolarsError as error:
        raise DataError(
            f"{path} is not what source {source.name!r} publishes: {first_line(error)} (files read: "
            f"{', '.join(read) or 'none'}). Are they complete and unchanged?"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}.") from error
