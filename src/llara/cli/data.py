"""`llara data`: make, validate and summarize dataset folders."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llara.cli.importing import fetch_data, import_data
from llara.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from llara.data import Description, Distribution

data_app = typer.Typer(name="data", help="Make, check and describe dataset folders.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Dataset folder.")]


data_app.command("import")(import_data)
data_app.command("fetch")(fetch_data)


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
