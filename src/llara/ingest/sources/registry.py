"""All known sources by name. A new one is a module with `SOURCES`, and a line here."""

import difflib

from llara.errors import ConfigError
from llara.ingest.sources import amazon, goodreads, lastfm, llara_release, movielens, recbole, steam
from llara.ingest.sources.source import Source

SOURCES: dict[str, Source] = {
    source.name: source
    for module in (movielens, lastfm, steam, amazon, goodreads, recbole, llara_release)
    for source in module.SOURCES
}


def find_source(name: str) -> Source:
    """The source of that name.

    Raises:
        ConfigError: If there is none; the message names the nearest one.
    """
    if name in SOURCES:
        return SOURCES[name]
    near = difflib.get_close_matches(name, SOURCES, n=1, cutoff=0.4)
    remedy = f"Did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown source {name!r}. {remedy}Known are {', '.join(SOURCES)}.")
