"""`llara data import` and `import-rows`: files of one's own, or of known data sets, become dataset folders."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from llara.cli.groups import grouped
from llara.cli.making import (
    CARE,
    SOURCE,
    TEXT,
    Category,
    Described,
    Shaping,
    Unit,
    Written,
    as_separator,
    is_given,
    pairs_of,
    refuse_unused_seed,
    run_source,
    show_made,
)
from llara.cli.options import Force, Json

if TYPE_CHECKING:
    from llara.data import DatasetInfo, TimeUnit
    from llara.ingest import LogColumns, TextFormat

_FORMAT = {"separator": "separator=;", "encoding": "encoding=latin-1", "header": "header=no", "quotes": "quotes=no"}
ItemsFormat = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="How the items file differs: separator=;, encoding=latin-1, header=no, quotes=no; repeatable.",
        rich_help_panel=TEXT,
    ),
]
_ALWAYS = {"path", "output", "name", "noun", "split", "history_length", "min_history", "force", "json"}
_SHAPING = {"min_rating", "repeats", "core", "min_length", "max_length", "ties", "seed", "used_items_only"}
_LOG_TEXT = {"separator", "encoding", "no_header", "no_quotes"}
_ITEMS_TEXT = {"items_format"}
_COLUMNS = {"user", "time", "time_unit", "rating", "items_item", "missing_items", "drop_unknown_items"}
_USED = {
    "--source": _ALWAYS | _SHAPING | {"source", "category"},
    "a log": _ALWAYS | _SHAPING | _LOG_TEXT | _ITEMS_TEXT | _COLUMNS | {"items", "item", "title"},
}
"""Which options each way of importing uses; others would be ignored, so they are refused."""
_WAYS = {"--source": "a known data set (--source), whose files and columns are known", "a log": "a log"}
_ROWS = "released rows have a command of their own: llara data import-rows PATH OUTPUT --items ITEMS"
_MOVED = {
    "--rows": _ROWS,
    "--padding": _ROWS,
    "--split-as": _ROWS,
    "--items-separator": "write --items-format separator=VALUE",
    "--items-encoding": "write --items-format encoding=VALUE",
    "--items-header": "write --items-format header=yes",
    "--items-no-header": "write --items-format header=no",
    "--items-quotes": "write --items-format quotes=yes",
    "--items-no-quotes": "write --items-format quotes=no",
}
"""What options of earlier versions have become."""


class ImportCommand(TyperCommand):
    """A command that says what its former options have become."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (a type that typer keeps to itself)
        """As the base class, once no former option is among the arguments."""
        from llara.errors import ConfigError

        for option in (text.partition("=")[0] for text in args):
            if option in _MOVED:
                raise ConfigError(f"{option} is no option of `llara data import` any more: {_MOVED[option]}")
        return super().parse_args(ctx, args)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what."""

    user: Annotated[str, typer.Option(help="Column of the user.")] = "user_id"
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item_id"
    time: Annotated[str, typer.Option(help="Column of the time (numbers or ISO dates); `none`: file order.")] = (
        "timestamp"
    )
    time_unit: Unit = None
    title: Annotated[str, typer.Option(help="Column of the title.")] = "title"
    rating: Annotated[
        str,
        typer.Option(
            help='Column of the rating; `auto`: "rating" if there is one; `none`: there is none.', rich_help_panel=CARE
        ),
    ] = "auto"
    items_item: Annotated[
        str | None, typer.Option(help="Column of the item in the items file, if named else.", rich_help_panel=CARE)
    ] = None

    def named(self, unit: "TimeUnit | None") -> "LogColumns":
        """The same for `llara.ingest`, with what times count."""
        from llara.ingest import LogColumns

        return LogColumns(
            user=self.user, item=self.item, time=_unless_none(self.time), time_unit=unit, title=self.title,
            rating=_unless_none(self.rating), items_item=self.items_item,
        )  # fmt: skip


@grouped
def import_data(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Interactions (CSV, TSV, JSON Lines, Parquet), or raw files.")],
    output: Annotated[Path, typer.Argument(help="Dataset folder to make.")],
    *,
    source: Annotated[
        str | None,
        typer.Option(
            help="PATH holds the files of a known data set; `llara data fetch` lists them.", rich_help_panel=SOURCE
        ),
    ] = None,
    category: Category = None,
    items: Annotated[Path | None, typer.Option(help="Items file; without it, titles come from PATH.")] = None,
    columns: Columns,
    shaping: Shaping,
    missing_items: Annotated[
        Literal["refuse", "drop", "cut"],
        typer.Option(
            help="Rows without an item; cut: end their users' histories before the first of them.", rich_help_panel=CARE
        ),
    ] = "refuse",
    drop_unknown_items: Annotated[
        bool,
        typer.Option(
            "--drop-unknown-items", help="Leave out interactions with items that are not listed.", rich_help_panel=CARE
        ),
    ] = False,
    described: Described,
    written: Written,
    items_format: ItemsFormat = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset folder from a log, or from the files of a known data set.

    Example: llara data import ratings.csv data/mine --items items.csv --time date --min-rating 3 --noun movie

    Known files: llara data import ml-1m.zip data/movielens-1m --source movielens-1m --core 5

    Released training and evaluation rows: llara data import-rows
    """
    from llara.ingest import import_log

    _refuse_unused(context, "--source" if source is not None else "a log")
    if source is not None:
        info = run_source(source, path, output, shaping=shaping, described=described, category=category, force=force)
        return show_made(output, info, json=json)
    text = written.text_format()
    items_text = _items_text(items_format or [], text)
    _refuse_unused_text(context, [path], [] if items is None else [items])

    def read(unit: "TimeUnit | None") -> "DatasetInfo":
        return import_log(
            path, output, items=items, columns=columns.named(unit), missing_items=missing_items,
            drop_unknown_items=drop_unknown_items, shape=shaping.config(), split=described.meant_split(),
            name=described.name, noun=described.noun or "item", text=text, items_text=items_text, force=force,
        )  # fmt: skip

    show_made(output, _asking_for_unit(read, columns.time_unit), json=json)


@grouped
def import_rows(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Rows (Parquet or JSON Lines): split, history, target, maybe user_id.")],
    output: Annotated[Path, typer.Argument(help="Dataset folder to make.")],
    *,
    items: Annotated[Path, typer.Option(help="Items file, which gives each item's title.")],
    item: Annotated[str, typer.Option(help="Column of the item in the items file.")] = "item_id",
    title: Annotated[str, typer.Option(help="Column of the title.")] = "title",
    padding: Annotated[str | None, typer.Option(help="The id that fills up short histories.")] = None,
    split_as: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PART", help="What another name of a split stands for; repeatable."),
    ] = None,
    described: Described,
    written: Written,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset folder from training and evaluation rows that somebody released, kept as they are.

    Example: llara data import-rows rows.parquet data/theirs --items items.csv --split-as dev=validation
    """
    from llara import ingest

    _refuse_unused_text(context, [], [items])
    info = ingest.import_rows(
        path, output, items=items, padding=_identifier(padding), split_names=pairs_of(split_as or []),
        split=described.meant_split(), item=item, title=title, name=described.name, noun=described.noun or "item",
        items_text=written.text_format(), force=force,
    )  # fmt: skip
    show_made(output, info, json=json)


def _items_text(given: list[str], text: "TextFormat") -> "TextFormat":
    """How the items file is written: as the log, but for what `--items-format` says."""
    from dataclasses import replace

    from llara.errors import ConfigError

    said = pairs_of(given)
    truth = {"yes": True, "no": False}
    for name, value in said.items():
        if name not in _FORMAT or (name in ("header", "quotes") and value not in truth):
            raise ConfigError(f"--items-format {name}={value}: expected {', '.join(_FORMAT.values())}.")
    return replace(
        text,
        separator=as_separator(said.get("separator")) or text.separator,
        encoding=said.get("encoding", text.encoding),
        header=truth[said["header"]] if "header" in said else text.header,
        quotes=truth[said["quotes"]] if "quotes" in said else text.quotes,
    )


def _identifier(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.lstrip("-").isdigit() else given


def _unless_none(column: str) -> str | None:
    return None if column == "none" else column


def _refuse_unused_text(context: typer.Context, logs: list[Path], items: list[Path]) -> None:
    """Refuse options about separated text where no file is such a text, or no items file is given."""
    from llara.errors import ConfigError
    from llara.ingest.readers import is_separated_text

    for names, files in ((_LOG_TEXT, logs + items), (_ITEMS_TEXT, items)):
        given = [f"--{name.replace('_', '-')}" for name in context.params if name in names and is_given(context, name)]
        if given and not any(is_separated_text(path) for path in files):
            read = ", ".join(path.name for path in files) or "no such file"
            raise ConfigError(f"{', '.join(given)} would not be used: it is about separated text, and {read} is read.")


def _refuse_unused(context: typer.Context, way: str) -> None:
    """Refuse options that were given and would not be used."""
    from llara.errors import ConfigError

    given = [name for name in context.params if is_given(context, name)]
    unused = ", ".join(f"--{name.replace('_', '-')}" for name in given if name not in _USED[way])
    if unused:
        raise ConfigError(f"{unused} would not be used when importing {_WAYS[way]}. Leave it out.")
    refuse_unused_seed(context)


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
