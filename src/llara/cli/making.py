"""Options and steps that the commands which make dataset folders share."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from llara.data import DatasetInfo
    from llara.ingest import ShapeConfig, TextFormat

SOURCE = "A known data set"
SHAPE = "Which interactions count"
CARE = "Columns and rows that need care"
TEXT = "How text files are written"
FOLDER = "What the folder says of itself"
"""Panels of `--help`; what stands in none of them matters first."""

Name = Annotated[str | None, typer.Option(help="Name of the data set; default: the folder's.", rich_help_panel=FOLDER)]
Noun = Annotated[Literal["movie", "game", "artist", "book", "item"] | None, typer.Option(help="What an item is.")]
Category = Annotated[
    str | None, typer.Option(help="Part of a collection, such as Beauty or poetry.", rich_help_panel=SOURCE)
]
MinRating = Annotated[
    float | None, typer.Option(help="Keep only interactions rated at least this.", rich_help_panel=SHAPE)
]
Repeats = Annotated[
    Literal["keep", "first", "last"], typer.Option(help="The same user and item several times.", rich_help_panel=SHAPE)
]
Core = Annotated[
    int,
    typer.Option(help="Keep users and items with this many interactions, until all have them.", rich_help_panel=SHAPE),
]
MinLength = Annotated[int, typer.Option(help="Leave out users with fewer interactions.", rich_help_panel=SHAPE)]
MaxLength = Annotated[
    int | None, typer.Option(help="Keep the latest interactions of each user.", rich_help_panel=SHAPE)
]
Unit = Annotated[
    Literal["s", "ms", "us", "ns", "date", "order"] | None,
    typer.Option(
        help="What numeric times count; date: days as 20200131; order: places, no times. Default: seconds.",
        rich_help_panel=CARE,
    ),
]
Ties = Annotated[
    Literal["file", "shuffle"],
    typer.Option(help="Order of equal times; shuffle where the file's order gives items away.", rich_help_panel=SHAPE),
]
Seed = Annotated[int, typer.Option(help="Seed of --ties shuffle.", rich_help_panel=SHAPE)]
Split = Annotated[
    Literal["users", "leave-one-out", "time", "rows"] | None,
    typer.Option(
        "--split",
        help="How runs split the data set unless told otherwise; default: by users, or its rows.",
        rich_help_panel=FOLDER,
    ),
]
HistoryLength = Annotated[
    int | None,
    typer.Option(
        help="Items of a history that runs show unless told otherwise; default: 10.", min=1, rich_help_panel=FOLDER
    ),
]
MinHistory = Annotated[
    int | None,
    typer.Option(
        help="Earlier items that a row needs unless a run says otherwise; default: 3.", min=0, rich_help_panel=FOLDER
    ),
]
UsedItems = Annotated[
    bool | None,
    typer.Option(
        "--used-items-only/--all-items", help="Whether items without interactions are left out.", rich_help_panel=SHAPE
    ),
]
Separator = Annotated[
    str | None, typer.Option(help="Field separator of text files, such as '::' or '|'.", rich_help_panel=TEXT)
]
Encoding = Annotated[str, typer.Option(help="Encoding of text files.", rich_help_panel=TEXT)]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="Text files have no header; columns are 1, 2, 3, ...", rich_help_panel=TEXT),
]
NoQuotes = Annotated[
    bool,
    typer.Option("--no-quotes", help="Quotes in text files are ordinary characters.", rich_help_panel=TEXT),
]


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """Which interactions count."""

    min_rating: MinRating = None
    repeats: Repeats = "keep"
    core: Core = 1
    min_length: MinLength = 1
    max_length: MaxLength = None
    ties: Ties = "file"
    seed: Seed = 0
    used_items_only: UsedItems = None

    def config(self) -> "ShapeConfig":
        """The same for `llara.ingest`."""
        from llara.ingest import ShapeConfig

        return ShapeConfig(**asdict(self))


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a dataset folder says of itself."""

    name: Name = None
    noun: Noun = None
    split: Split = None
    history_length: HistoryLength = None
    min_history: MinHistory = None

    def meant_split(self) -> dict[str, object]:
        """What was said of how to split, by the names of `data.split`."""
        said = {"method": self.split, "history_length": self.history_length, "min_history": self.min_history}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Written:
    """How text files are written."""

    separator: Separator = None
    encoding: Encoding = "utf-8"
    no_header: NoHeader = False
    no_quotes: NoQuotes = False

    def text_format(self) -> "TextFormat":
        """The same for `llara.ingest`."""
        from llara.ingest import TextFormat

        return TextFormat(
            separator=as_separator(self.separator),
            encoding=self.encoding,
            header=not self.no_header,
            quotes=not self.no_quotes,
        )


def as_separator(given: str | None) -> str | None:
    """As messages and shells write it."""
    return {"\\t": "\t", "tab": "\t"}.get(given or "", given)


def run_source(
    source: str, path: Path, output: Path, *, shaping: Shaping, described: Described, category: str | None, force: bool
) -> "DatasetInfo":
    """Make a dataset folder from the files of a known data set."""
    from llara.ingest.sources import find_source, import_source

    return import_source(
        find_source(source), path, output, shape=shaping.config(), split=described.meant_split(), category=category,
        name=described.name, noun=described.noun, force=force,
    )  # fmt: skip


def refuse_unused_seed(context: typer.Context) -> None:
    """Refuse a seed where nothing is shuffled."""
    from llara.errors import ConfigError

    if is_given(context, "seed") and context.params["ties"] != "shuffle":
        raise ConfigError("--seed is the seed of --ties shuffle; with --ties file it would not be used. Leave it out.")


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def pairs_of(given: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    from llara.errors import ConfigError

    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"expected NAME=VALUE, found {text!r}.")
        pairs[name] = value
    return pairs


def show_made(output: Path, info: "DatasetInfo", *, json: bool) -> None:
    """Say what was made and left out, and what to do next."""
    from llara.cli import console

    if json:
        console.print_json({"folder": str(output), **asdict(info)})
        return
    left_out = _left_out(info.origin)
    console.say(
        f"{output}: {info.num_users:,} users, {info.num_items:,} items, {info.num_interactions:,} interactions.\n"
        f"{left_out}Next: llara data check {output}"
    )


def _left_out(origin: dict[str, Any]) -> str:
    """What was dropped on the way, so that nobody has to find out from a count."""
    dropped = {key: count for key, count in origin.items() if key.startswith("dropped_") and count}
    facts = ", ".join(f"{count:,} {key.removeprefix('dropped_').replace('_', ' ')}" for key, count in dropped.items())
    return f"Left out: {facts}.\n" if facts else ""
