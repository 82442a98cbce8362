"""`llara data fetch`: known data sets are downloaded and become dataset folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llara.cli.groups import grouped
from llara.cli.making import Category, Described, Shaping, pairs_of, refuse_unused_seed, run_source, show_made
from llara.cli.options import AcceptLicense, Force, Json

if TYPE_CHECKING:
    from llara.ingest.sources import Source


@grouped
def fetch_data(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Name of the data set; without it, all are listed.")] = None,
    output: Annotated[Path | None, typer.Argument(help="Dataset folder to make; default data/NAME.")] = None,
    category: Category = None,
    accept_license: AcceptLicense = False,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder with the same files.")] = None,
    checksum: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=sha256:...", help="Expect this checksum instead of the known one; repeatable."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloads.")] = Path("data/downloads"),
    *,
    shaping: Shaping,
    described: Described,
    force: Force = False,
    json: Json = False,
) -> None:
    """Download a known data set and make its dataset folder; without a name, list them.

    Example: llara data fetch movielens-1m data/movielens-1m --core 5
    """
    from llara.cli.terms import accept_terms
    from llara.data.files import refuse_taken
    from llara.ingest.sources import SOURCES, fetch_files, find_source

    if source is None:
        _show_sources(list(SOURCES.values()), json=json)
        return
    known = find_source(source)
    refuse_unused_seed(context)
    output = output or Path("data") / (source if category is None else f"{source}-{category}")
    known.refuse_unfit(shaping.config(), described.meant_split(), category)
    refuse_taken(output, force=force, marker="dataset.json")
    accept_terms(
        known.name, title=known.title, homepage=known.homepage, terms=known.license, accepted=accept_license,
        ask=not json,
    )  # fmt: skip
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
    info = run_source(source, files, output, shaping=shaping, described=described, category=category, force=force)
    show_made(output, info, json=json)


def _checksums(given: list[str]) -> dict[str, str]:
    from llara.errors import ConfigError

    checksums = pairs_of(given)
    for name, checksum in checksums.items():
        if checksum.partition(":")[0] not in ("sha256", "md5"):
            raise ConfigError(f"--checksum expects FILE=sha256:... or FILE=md5:..., found '{name}={checksum}'.")
    return checksums


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


def _parts(categories: tuple[str, ...], most: int = 8) -> str:
    """Few parts by name, many by number and two examples."""
    if len(categories) <= most:
        return ", ".join(categories)
    known = [name for name in ("Beauty", "All_Beauty", "Video_Games") if name in categories]
    return f"{len(categories)}, such as {', '.join(known)}"
