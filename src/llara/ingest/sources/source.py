"""What a source is: a known data set, where its files are published, on what terms, and how they are read."""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from llara.data.nouns import Noun
from llara.errors import ConfigError, DataError
from llara.ingest.archives import extract, members
from llara.ingest.shaping import ShapeConfig
from llara.ingest.writing import RawLog, RawRows, refuse_bad_split


class RawFiles:
    """Finds a source's files by name in a folder or a .zip, however deep they lie there.

    Args:
        path: A folder, a .zip, or one of the files themselves.
        scratch: A folder for what is taken out of a .zip.

    Attributes:
        path: As given.
        read: Names of the files that were found and handed out so far.

    Raises:
        DataError: If there is nothing at `path`, or the .zip is damaged.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        if not path.exists():
            raise DataError(f"{path} does not exist. Check the path, or get the files with `llara data fetch`.")
        self.path = path
        self.read: list[str] = []
        self._scratch = scratch
        self._in_archive = path.is_file() and path.suffix.lower() == ".zip"
        folder = path if path.is_dir() else path.parent
        names = members(path) if self._in_archive else [str(file.relative_to(folder)) for file in _files(folder)]
        self._folder = folder
        self._names = sorted(names, key=lambda name: (name.count("/"), name))

    def find(self, *patterns: str) -> Path:
        """The first file whose name matches a pattern, packed as .gz or not; earlier patterns are preferred.

        Raises:
            DataError: If there is none; the message lists what is there.
        """
        found = self.find_optional(*patterns)
        if found is None:
            there = ", ".join(self._names[:8]) + (", ..." if len(self._names) > 8 else "")
            raise DataError(
                f"{self.path} has no {' or '.join(patterns)}; found {there or 'nothing'}. Is it the right folder?"
            )
        return found

    def find_optional(self, *patterns: str) -> Path | None:
        """As `find`, or None."""
        for pattern in patterns:
            for name in self._names:
                base = Path(name).name
                if fnmatch.fnmatchcase(base, pattern) or fnmatch.fnmatchcase(base, f"{pattern}.gz"):
                    self.read.append(base)
                    return extract(self.path, name, self._scratch) if self._in_archive else self._folder / name
        return None

    def variants(self, pattern: str) -> list[str]:
        """What the "*" of a pattern stands for in the names of the files that match it, packed as .gz or not."""
        before, after = pattern.split("*")
        bases = {Path(name).name.removesuffix(".gz") for name in self._names}
        matches = (base for base in bases if len(base) >= len(pattern) and fnmatch.fnmatchcase(base, pattern))
        return sorted(base[len(before) : len(base) - len(after)] for base in matches)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a reader may need to know.

    Attributes:
        shape: Which interactions will count; a reader whose items are described by interactions must not look at more.
        train_until: Share of the users, by first interaction, whose interactions may describe items, in (0, 1].
        name: Name of the data set inside a collection: a category, a genre, a file's stem. None: the only one there.
    """

    shape: ShapeConfig
    train_until: float = 0.8
    name: str | None = None


Reader = Callable[[RawFiles, ReadOptions], RawLog | RawRows]


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that the publisher offers.

    Attributes:
        url: Where; "{category}" stands for the category.
        checksum: "md5:..." or "sha256:..."; None where none is known, or it depends on the category.
        checksum_url: Where the publisher keeps the current md5 of a file that changes.
        checksums: By category.
    """

    url: str
    checksum: str | None = None
    checksum_url: str | None = None
    checksums: tuple[tuple[str, str], ...] = ()

    def of_category(self, category: str | None) -> "RemoteFile":
        """The file for one category."""
        if category is None:
            return self
        return RemoteFile(
            url=self.url.replace("{category}", category),
            checksum=dict(self.checksums).get(category, self.checksum),
            checksum_url=self.checksum_url,
        )

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rsplit("/", maxsplit=1)[-1]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A known data set.

    Attributes:
        name: As on the command line.
        title: What it is, in a line.
        noun: What its items are.
        homepage: The publisher's page.
        license: The terms, in the publisher's sense, short enough to be read.
        files: What to download.
        read: Reads the publisher's files.
        categories: Parts that are data sets of their own; empty: it is one data set.
        gives: "ratings": a log with ratings; "log": one without; "rows": released rows.
    """

    name: str
    title: str
    noun: Noun
    homepage: str
    license: str
    files: tuple[RemoteFile, ...]
    read: Reader
    categories: tuple[str, ...] = ()
    gives: Literal["ratings", "log", "rows"] = "ratings"

    def refuse_unfit(self, shape: ShapeConfig, split: Mapping[str, object] | None, category: str | None) -> None:
        """Raise ConfigError where options do not fit what the source gives: a look before anything is downloaded."""
        if category is not None and not self.categories:
            raise ConfigError(f"source {self.name!r} has no parts: leave out --category.")
        refuse_bad_split(split, has_times=self.gives != "rows", has_rows=self.gives == "rows")
        if self.gives == "rows" and shape != ShapeConfig():
            raise ConfigError(
                f"source {self.name!r} gives released rows, which are read as they are. Leave out --min-rating, "
                "--core, --min-length, --max-length, --repeats and --ties."
            )
        if self.gives == "log" and shape.min_rating is not None:
            raise ConfigError(f"source {self.name!r} has no ratings. Leave out --min-rating.")


def titled_items(items: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Items with a title, the first row of each identifier, and how many rows were left out.

    Publishers' catalogs list products twice or without a name; neither can be shown in a prompt.
    """
    named = items.filter(pl.col("title").str.strip_chars().str.len_chars() > 0)
    distinct = named.unique("item_id", keep="first", maintain_order=True)
    return distinct, len(items) - len(distinct)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
