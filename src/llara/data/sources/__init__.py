"""Known data sets: where their publishers offer them, and how their files are read."""

from llara.data.sources.fetching import fetch_files
from llara.data.sources.reading import import_source
from llara.data.sources.registry import SOURCES, find_source
from llara.data.sources.source import RawFiles, ReadOptions, RemoteFile, Source
from llara.data.sources.unpickling import read_pickled_frame

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
