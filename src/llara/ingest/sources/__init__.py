"""Known data sets: where their publishers offer them, and how their files are read."""

from llara.ingest.sources.fetching import fetch_files
from llara.ingest.sources.reading import import_source
from llara.ingest.sources.registry import SOURCES, find_source
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source
from llara.ingest.sources.unpickling import read_pickled_frame

__all__ = [
    "SOURCES",
    "RawFiles",
    "ReadOptions",
    "RemoteFile",
    "Source",
    "fetch_files",
    "find_source",
    "import_source",
    "read_pickled_frame",
]
