"""`llara data`: make, validate and summarize dataset folders."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llara.cli.options import Force, Json

if TYPE_CHECKING:
    from rich.table import Table

    from llara.data import Description, Distribution

data_app = typer.Typer(name="data", help="Make, check and describe dataset folders.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Dataset folder.")]


@data_app.command("import")
def import_data(
    source: Annotated[Path, typer.Argument(help="Interactions (or rows): CSV, TSV, JSON Lines or Parquet.")],
    output: Annotated[Path, typer.Argument(help="Dataset folder to make.")],
    items: Annotated[Path | None, typer.Option(help="Items file; without it, titles come from SOURCE.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="SOURCE holds released rows: split, history, target.")] = False,
    user: Annotated[str, typer.Option(help="Column of the user.")] = "user_id",
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item_id",
    time: Annotated[
        str, typer.Option(help="Column of the time (seconds or ISO dates); `none`: file order.")
    ] = "timestamp",
    title: Annotated[str, typer.Option(help="Column of the title.")] = "title",
    rating: Annotated[str | None, typer.Option(help="Column of the rating.")] = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep only interactions rated at least this.")] = None,
    items_item: Annotated[str | None, typer.Option(help="Column of the item in the items file, if named else.")] = None,
    drop_unknown_items: Annotated[
        bool, typer.Option("--drop-unknown-items", help="Leave out interactions with items that are not listed.")
    ] = False,
    padding: Annotated[str | None, typer.Option(help="--rows: the id that pads histories.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; default: the folder's.")] = None,
    noun: Annotated[str, typer.Option(help="What an item is: movie, game, artist, book or item.")] = "item",
    separator: Annotated[str | None, typer.Option(help="Field separator of text files, such as '::' or '|'.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    no_header: Annotated[
        bool, typer.Option("--no-header", help="Text files have no header; columns are 1, 2, 3, ...")
    ] = False,
    no_quotes: Annotated[
        bool, typer.Option("--no-quotes", help="Quotes in text files are ordinary characters.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset folder from files.

    Example: llara data import ratings.csv data/mine --items items.csv --time date --min-rating 3 --noun movie
    """
    from llara.cli import console
    from llara.data import TextFormat, import_log, import_rows
    from llara.errors import ConfigError

    text = TextFormat(separator=separator, encoding=encoding, header=not no_header, quotes=not no_quotes)
    if rows:
        if items is None:
            raise ConfigError("--rows needs --items: the file that gives each item's title.")
        pads = int(padding) if padding is not None and padding.lstrip("-").isdigit() else padding
        info = import_rows(
            source, output, items=items, padding=pads, item=item, title=title, name=name, noun=noun, items_text=text,
            force=force,
        )  # fmt: skip
    else:
        info = import_log(
            source, output, items=items, user=user, item=item, time=None if time == "none" else time, title=title,
            rating=rating, items_item=items_item, min_rating=min_rating, drop_unknown_items=drop_unknown_items,
            name=name, noun=noun, text=text, force=force,
        )  # fmt: skip
    if json:
        console.print_json({"folder": str(output), **asdict(info)})
        return
    console.say(
        f"{output}: {info.num_users:,} users, {info.num_items:,} items, {info.num_interactions:,} interactions.\n"
        f"Next: llara data check {output}"
    )


@data_app.command()
def check(folder: Folder, json: Json = False) -> None:
    """Validate a dataset folder; exit code 2 if it cannot be used.

    Example: llara data check data/mine
    """
    from llara.cli import console
    from llara.data import check_dataset

    findings = check_dataset(folder)
    errors = sum(finding.level == "error" for finding in findings)
    if json:
        console.print_json(
            {"folder": str(folder), "ok": errors == 0, "findings": [asdict(entry) for entry in findings]}
        )
    else:
        for finding in findings:
            color = "red" if finding.level == "error" else "yellow"
            console.out.print(f"[{color}]{finding.level}[/]  ", end="")
            console.out.print(finding.message, markup=False, highlight=False, soft_wrap=True)
        summary = f"{folder}: {errors} errors, {len(findings) - errors} warnings"
        console.out.print(summary, markup=False, highlight=False, soft_wrap=True)
    if errors:
        raise typer.Exit(2)


@data_app.command()
def describe(
    folder: Folder,
    picture: Annotated[Path | None, typer.Option(help="Write the histograms to this PNG file.")] = None,
    json: Json = False,
) -> None:
    """Summarize a dataset folder: counts, and histograms of history lengths and popularity.

    Example: llara data describe data/mine --picture mine.png
    """
    from llara.cli import console
    from llara.data import describe_dataset, load_dataset, plot_description

    description = describe_dataset(load_dataset(folder))
    if picture is not None:
        plot_description(description, picture)
    if json:
        console.print_json(asdict(description))
        return
    _show_description(description)
    if picture is not None:
        console.say(f"histograms  {picture}")


def _show_description(description: "Description") -> None:
    from rich.table import Table
    from rich.text import Text

    from llara.cli import console

    table = Table(title=Text(description.name), show_header=False, title_justify="left")
    facts = {
        "users": f"{description.num_users:,}",
        f"{description.noun}s": f"{description.num_items:,} ({description.num_used_items:,} with interactions)",
        "interactions": f"{description.num_interactions:,}",
        "density": f"{description.density:.4%}",
        "first, last": f"{description.first_time or 'no times'}, {description.last_time or 'file order'}",
        "per user": f"mean {description.history_length.mean:.1f}, {_quantiles(description.history_length)}",
        f"per {description.noun}": f"mean {description.popularity.mean:.1f}, {_quantiles(description.popularity)}",
        "top tenth of items": f"{description.top_tenth_ratio:.0%} of the interactions",
    }
    if description.num_rows:
        facts["released rows"] = ", ".join(f"{part} {count:,}" for part, count in description.num_rows.items())
    for name, value in facts.items():
        table.add_row(name, value)
    console.out.print(table)
    for title, distribution in (
        ("interactions per user", description.history_length),
        (f"interactions per {description.noun}", description.popularity),
    ):
        console.out.print(_histogram(title, distribution))


def _quantiles(distribution: "Distribution") -> str:
    return ", ".join(f"{quantile:.0%}: {value:g}" for quantile, value in distribution.quantiles.items())


def _histogram(title: str, distribution: "Distribution") -> "Table":
    """Horizontal bars, one line per bin."""
    from rich.table import Table

    table = Table(title=title, show_header=False, box=None, title_justify="left")
    most = max(distribution.counts)
    for low, high, count in zip(distribution.edges, distribution.edges[1:], distribution.counts, strict=False):
        label = f"{low}" if high == low + 1 else f"{low}-{high - 1}"
        table.add_row(label, "█" * round(40 * count / most) or ("▏" if count else ""), f"{count:,}")
    return table
