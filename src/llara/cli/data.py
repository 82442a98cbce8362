"""`llara data`: make, validate and summarize dataset folders."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llara.cli.fetching import fetch_data
from llara.cli.importing import ImportCommand, import_data, import_rows
from llara.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from llara.data import Description, Distribution

data_app = typer.Typer(name="data", help="Make, check and describe dataset folders.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Dataset folder.")]


data_app.command("import", cls=ImportCommand)(import_data)
data_app.command("import-rows")(import_rows)
data_app.command("fetch")(fetch_data)


@data_app.command()
def check(
    folder: Folder,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split whose leaks are looked for: users, leave-one-out, time or rows; default: as dataset.json says, "
            "else rows if the folder has rows, else users."
        ),
    ] = None,
    history_length: Annotated[
        int | None, typer.Option(help="Items of the history that are visible; default: as dataset.json says.", min=1)
    ] = None,
    min_history: Annotated[
        int | None, typer.Option(help="Rows with fewer earlier items are dropped; default: the same.", min=0)
    ] = None,
    exclude: Annotated[
        str, typer.Option(help="What is no negative: visible (the history in the prompt), or touched (by the user).")
    ] = "visible",
    candidates: Annotated[int, typer.Option(help="Negatives per row.", min=1)] = 19,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 2 where there is a leak, too.")] = False,
    json: Json = False,
) -> None:
    """Validate a dataset folder and look for leaks in a split of it; exit code 2 if it cannot be used.

    Example: llara data check data/mine --split leave-one-out
    """
    from llara.cli import console
    from llara.cli.checking import show_checked
    from llara.run.data_check import check_folder

    checked = check_folder(
        folder, split=split, history_length=history_length, min_history=min_history, exclude=exclude,
        num_negatives=candidates,
    )  # fmt: skip
    if json:
        console.print_json(checked.as_json())
    else:
        show_checked(checked)
    if not checked.usable or (strict and checked.count("leak")):
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

    from llara.cli import console

    table = Table(title=title, show_header=False, box=None, title_justify="left")
    most = max(distribution.counts)
    for low, high, count in zip(distribution.edges, distribution.edges[1:], distribution.counts, strict=False):
        label = f"{low}" if high == low + 1 else f"{low}-{high - 1}"
        table.add_row(label, console.bar(round(40 * count / most)) if count else "", f"{count:,}")
    return table
