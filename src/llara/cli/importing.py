"""`llara data import` and `llara data fetch`: files of one's own, or known data sets, become dataset folders."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llara.cli.options import Force, Json

if TYPE_CHECKING:
    from llara.data import DatasetInfo, TimeUnit
    from llara.ingest import ShapeConfig
    from llara.ingest.sources import Source

Name = Annotated[str | None, typer.Option(help="Name of the data set; default: the folder's.")]
Noun = Annotated[Literal["movie", "game", "artist", "book", "item"] | None, typer.Option(help="What an item is.")]
Category = Annotated[str | None, typer.Option(help="Part of a collection, such as Beauty or poetry.")]
MinRating = Annotated[float | None, typer.Option(help="Keep only interactions rated at least this.")]
Repeats = Annotated[Literal["keep", "first", "last"], typer.Option(help="The same user and item several times.")]
Core = Annotated[int, typer.Option(help="Keep users and items with this many interactions, until all have them.")]
MinLength = Annotated[int, typer.Option(help="Leave out users with fewer interactions.")]
MaxLength = Annotated[int | None, typer.Option(help="Keep the latest interactions of each user.")]
Unit = Annotated[
    Literal["s", "ms", "us", "ns", "date", "order"] | None,
    typer.Option(help="What numeric times count; date: days as 20200131; order: places, no times. Default: seconds."),
]
Ties = Annotated[
    Literal["file", "shuffle"],
    typer.Option(help="Order of equal times; shuffle where the file's order gives items away."),
]
Seed = Annotated[int, typer.Option(help="Seed of --ties shuffle.")]
SplitAs = Annotated[
    Literal["users", "leave-one-out", "time", "rows"] | None,
    typer.Option("--split", help="How runs split the data set unless told otherwise; default: by users, or its rows."),
]
HistoryLength = Annotated[
    int | None, typer.Option(help="Items of a history that runs show unless told otherwise; default: 10.", min=1)
]
MinHistory = Annotated[
    int | None, typer.Option(help="Earlier items that a row needs unless a run says otherwise; default: 3.", min=0)
]
UsedItems = Annotated[
    bool | None,
    typer.Option("--used-items-only/--all-items", help="Whether items without interactions are left out."),
]


_ALWAYS = {"path", "output", "name", "noun", "split", "history_length", "min_history", "force", "json"}
_SHAPING = {"min_rating", "repeats", "core", "min_length", "max_length", "ties", "seed", "used_items_only"}
_LOG_TEXT = {"separator", "encoding", "no_header", "no_quotes"}
_ITEMS_TEXT = {"items_separator", "items_encoding", "items_header", "items_quotes"}
_TEXT = _LOG_TEXT | _ITEMS_TEXT
_COLUMNS = {"user", "time", "time_unit", "rating", "items_item", "missing_items", "drop_unknown_items"}
_USED = {
    "--source": _ALWAYS | _SHAPING | {"source", "category"},
    "--rows": _ALWAYS | _TEXT | {"rows", "items", "item", "title", "padding", "split_as"},
    "a log": _ALWAYS | _SHAPING | _TEXT | _COLUMNS | {"items", "item", "title"},
}
"""Which options each way of importing uses; others would be ignored, so they are refused."""
_WAYS = {
    "--source": "a known data set (--source), whose files and columns are known",
    "--rows": "released rows (--rows), which are read as they are",
    "a log": "a log",
}


def import_data(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Interactions or rows (CSV, TSV, JSON Lines, Parquet), or raw files.")],
    output: Annotated[Path, typer.Argument(help="Dataset folder to make.")],
    source: Annotated[
        str | None, typer.Option(help="PATH holds the files of a known data set; `llara data fetch` lists them.")
    ] = None,
    category: Category = None,
    items: Annotated[Path | None, typer.Option(help="Items file; without it, titles come from PATH.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="PATH holds released rows: split, history, target.")] = False,
    user: Annotated[str, typer.Option(help="Column of the user.")] = "user_id",
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item_id",
    time: Annotated[
        str, typer.Option(help="Column of the time (numbers or ISO dates); `none`: file order.")
    ] = "timestamp",
    time_unit: Unit = None,
    title: Annotated[str, typer.Option(help="Column of the title.")] = "title",
    rating: Annotated[
        str, typer.Option(help='Column of the rating; `auto`: "rating" if there is one; `none`: there is none.')
    ] = "auto",
    min_rating: MinRating = None,
    repeats: Repeats = "keep",
    core: Core = 1,
    min_length: MinLength = 1,
    max_length: MaxLength = None,
    ties: Ties = "file",
    seed: Seed = 0,
    used_items_only: UsedItems = None,
    split: SplitAs = None,
    history_length: HistoryLength = None,
    min_history: MinHistory = None,
    items_item: Annotated[str | None, typer.Option(help="Column of the item in the items file, if named else.")] = None,
    missing_items: Annotated[
        Literal["refuse", "drop", "cut"],
        typer.Option(help="Rows without an item; cut: end their users' histories before the first of them."),
    ] = "refuse",
    drop_unknown_items: Annotated[
        bool, typer.Option("--drop-unknown-items", help="Leave out interactions with items that are not listed.")
    ] = False,
    padding: Annotated[str | None, typer.Option(help="--rows: the id that pads histories.")] = None,
    split_as: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PART", help="--rows: what another name of a split stands for; repeatable."),
    ] = None,
    name: Name = None,
    noun: Noun = None,
    separator: Annotated[str | None, typer.Option(help="Field separator of text files, such as '::' or '|'.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    no_header: Annotated[
        bool, typer.Option("--no-header", help="Text files have no header; columns are 1, 2, 3, ...")
    ] = False,
    no_quotes: Annotated[
        bool, typer.Option("--no-quotes", help="Quotes in text files are ordinary characters.")
    ] = False,
    items_separator: Annotated[str | None, typer.Option(help="The same of the items file, if it differs.")] = None,
    items_encoding: Annotated[str | None, typer.Option(help="The same of the items file, if it differs.")] = None,
    items_header: Annotated[
        bool | None,
        typer.Option("--items-header/--items-no-header", help="The same of the items file, if it differs."),
    ] = None,
    items_quotes: Annotated[
        bool | None,
        typer.Option("--items-quotes/--items-no-quotes", help="The same of the items file, if it differs."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset folder from files.

    Example: llara data import ratings.csv data/mine --items items.csv --time date --min-rating 3 --noun movie

    Known files: llara data import ml-1m.zip data/movielens-1m --source movielens-1m --core 5
    """
    from llara.errors import ConfigError
    from llara.ingest import ShapeConfig, TextFormat, import_log, import_rows

    _refuse_unused(context, "--source" if source is not None else "--rows" if rows else "a log")
    shape = ShapeConfig(
        min_rating=min_rating, repeats=repeats, core=core, min_length=min_length, max_length=max_length, ties=ties,
        seed=seed, used_items_only=used_items_only,
    )  # fmt: skip
    meant = _meant_split(split, history_length, min_history)
    text = TextFormat(separator=_separator(separator), encoding=encoding, header=not no_header, quotes=not no_quotes)
    items_text = TextFormat(
        separator=_separator(items_separator) or text.separator,
        encoding=items_encoding or text.encoding,
        header=text.header if items_header is None else items_header,
        quotes=text.quotes if items_quotes is None else items_quotes,
    )
    if source is not None:
        info = _import_source(
            source, path, output, shape, split=meant, category=category, name=name, noun=noun, force=force
        )
        return _show_made(output, info, json=json)
    _refuse_unused_text(context, [] if rows else [path], [] if items is None else [items])
    if rows:
        if items is None:
            raise ConfigError("--rows needs --items: the file that gives each item's title.")
        info = import_rows(
            path, output, items=items, padding=_identifier(padding), split_names=_pairs(split_as or []), split=meant,
            item=item, title=title, name=name, noun=noun or "item", items_text=items_text, force=force,
        )  # fmt: skip
        return _show_made(output, info, json=json)

    def read(unit: "TimeUnit | None") -> "DatasetInfo":
        return import_log(
            path, output, items=items, user=user, item=item, time=_unless_none(time), time_unit=unit, title=title,
            rating=_unless_none(rating), items_item=items_item, missing_items=missing_items,
            drop_unknown_items=drop_unknown_items, shape=shape, split=meant, name=name, noun=noun or "item",
            text=text, items_text=items_text, force=force,
        )  # fmt: skip

    _show_made(output, _asking_for_unit(read, time_unit), json=json)


def _separator(given: str | None) -> str | None:
    """As messages and shells write it."""
    return {"\\t": "\t", "tab": "\t"}.get(given or "", given)


def _identifier(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.lstrip("-").isdigit() else given


def _unless_none(column: str) -> str | None:
    return None if column == "none" else column


def _refuse_unused_text(context: typer.Context, logs: list[Path], items: list[Path]) -> None:
    """Refuse options about separated text where no file is such a text, or no items file is given."""
    from llara.errors import ConfigError
    from llara.ingest.readers import is_separated_text

    for names, files in ((_LOG_TEXT, logs + items), (_ITEMS_TEXT, items)):
        given = [f"--{name.replace('_', '-')}" for name in context.params if name in names and _is_given(context, name)]
        if given and not any(is_separated_text(path) for path in files):
            read = ", ".join(path.name for path in files) or "no such file"
            raise ConfigError(f"{', '.join(given)} would not be used: it is about separated text, and {read} is read.")


def fetch_data(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Name of the data set; without it, all are listed.")] = None,
    output: Annotated[Path | None, typer.Argument(help="Dataset folder to make; default data/NAME.")] = None,
    category: Category = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the publisher's terms, which are shown otherwise.")
    ] = False,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder with the same files.")] = None,
    checksum: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=sha256:...", help="Expect this checksum instead of the known one; repeatable."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloads.")] = Path("data/downloads"),
    min_rating: MinRating = None,
    repeats: Repeats = "keep",
    core: Core = 1,
    min_length: MinLength = 1,
    max_length: MaxLength = None,
    ties: Ties = "file",
    seed: Seed = 0,
    used_items_only: UsedItems = None,
    split: SplitAs = None,
    history_length: HistoryLength = None,
    min_history: MinHistory = None,
    name: Name = None,
    noun: Noun = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Download a known data set and make its dataset folder; without a name, list them.

    Example: llara data fetch movielens-1m data/movielens-1m --core 5
    """
    from llara.data.files import refuse_taken
    from llara.ingest import ShapeConfig
    from llara.ingest.sources import SOURCES, fetch_files, find_source

    if source is None:
        _show_sources(list(SOURCES.values()), json=json)
        return
    known = find_source(source)
    _refuse_unused_seed(context)
    output = output or Path("data") / (source if category is None else f"{source}-{category}")
    shape = ShapeConfig(
        min_rating=min_rating, repeats=repeats, core=core, min_length=min_length, max_length=max_length, ties=ties,
        seed=seed, used_items_only=used_items_only,
    )  # fmt: skip
    meant = _meant_split(split, history_length, min_history)
    known.refuse_unfit(shape, meant, category)
    refuse_taken(output, force=force, marker="dataset.json")
    _accept(known, accepted=accept_license, ask=not json)
    from llara.cli import console

    with console.download_bar() as on_progress:
        files = fetch_files(
            known,
            cache,
            category=category,
            mirror=mirror,
            checksums=_checksums(checksum or []),
            on_progress=on_progress,
        )
    info = _import_source(
        source, files, output, shape, split=meant, category=category, name=name, noun=noun, force=force
    )
    _show_made(output, info, json=json)


def _import_source(
    source: str, path: Path, output: Path, shape: "ShapeConfig", *, split: dict[str, object], category: str | None,
    name: str | None, noun: str | None, force: bool,
) -> "DatasetInfo":  # fmt: skip
    from llara.ingest.sources import find_source, import_source

    return import_source(
        find_source(source), path, output, shape=shape, split=split, category=category, name=name, noun=noun,
        force=force,
    )  # fmt: skip


def _refuse_unused(context: typer.Context, way: str) -> None:
    """Refuse options that were given and would not be used."""
    from llara.errors import ConfigError

    given = [name for name in context.params if _is_given(context, name)]
    unused = ", ".join(f"--{name.replace('_', '-')}" for name in given if name not in _USED[way])
    if unused:
        raise ConfigError(f"{unused} would not be used when importing {_WAYS[way]}. Leave it out.")
    _refuse_unused_seed(context)


def _refuse_unused_seed(context: typer.Context) -> None:
    from llara.errors import ConfigError

    if _is_given(context, "seed") and context.params["ties"] != "shuffle":
        raise ConfigError("--seed is the seed of --ties shuffle; with --ties file it would not be used. Leave it out.")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _meant_split(method: str | None, history_length: int | None, min_history: int | None) -> dict[str, object]:
    """What was said of how to split, by the names of `data.split`."""
    said = {"method": method, "history_length": history_length, "min_history": min_history}
    return {name: value for name, value in said.items() if value is not None}


def _asking_for_unit(read: "Callable[[TimeUnit | None], DatasetInfo]", unit: "TimeUnit | None") -> "DatasetInfo":
    """Import; where times are hardly seconds, ask the person at the terminal, if there is one."""
    from llara.cli import console
    from llara.data import UnclearTimeUnitError

    try:
        return read(unit)
    except UnclearTimeUnitError as unclear:
        if not sys.stdin.isatty() or not typer.confirm(
            console.plain(f"{unclear} Take them as {unclear.unit}?"), err=True
        ):
            raise
        return read(unclear.unit)


def _accept(source: "Source", *, accepted: bool, ask: bool) -> None:
    from llara.cli import console
    from llara.errors import ConfigError

    console.say(f"{source.title}\n{source.homepage}\nTerms: {source.license}")
    if accepted:
        return
    if not (ask and sys.stdin.isatty()):
        raise ConfigError(
            f"the terms of {source.name!r} must be accepted before anything is downloaded: {source.license} "
            "Pass --accept-license if you do."
        )
    if not typer.confirm("Do you accept them?", err=True):
        raise typer.Exit(2)


def _pairs(given: list[str]) -> dict[str, str]:
    from llara.errors import ConfigError

    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"expected NAME=VALUE, found {text!r}.")
        pairs[name] = value
    return pairs


def _checksums(given: list[str]) -> dict[str, str]:
    from llara.errors import ConfigError

    checksums = _pairs(given)
    for name, checksum in checksums.items():
        if checksum.partition(":")[0] not in ("sha256", "md5"):
            raise ConfigError(f"--checksum expects FILE=sha256:... or FILE=md5:..., found '{name}={checksum}'.")
    return checksums


def _show_made(output: Path, info: "DatasetInfo", *, json: bool) -> None:
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


def _parts(categories: tuple[str, ...], most: int = 8) -> str:
    """Few parts by name, many by number and two examples."""
    if len(categories) <= most:
        return ", ".join(categories)
    known = [name for name in ("Beauty", "All_Beauty", "Video_Games") if name in categories]
    return f"{len(categories)}, such as {', '.join(known)}"


def _show_sources(sources: "list[Source]", *, json: bool) -> None:
    from rich.table import Table

    from llara.cli import console

    if json:
        listed = [
            {"name": entry.name, "title": entry.title, "homepage": entry.homepage, "license": entry.license,
             "categories": entry.categories, "files": [file.url for file in entry.files]}
            for entry in sources
        ]  # fmt: skip
        console.print_json({"sources": listed})
        return
    table = Table(title="known data sets", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("what")
    table.add_column("parts", overflow="fold")
    for entry in sources:
        table.add_row(entry.name, entry.title, _parts(entry.categories))
    console.out.print(table)
    console.say(
        "Fetch one:           llara data fetch NAME [--category PART]   (an unknown PART lists them)\n"
        "Files already here:  llara data import FOLDER_OR_ZIP data/NAME --source NAME"
    )
