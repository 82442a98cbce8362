"""Groups of options."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

from llara.cli.fetching import fetch_data
from llara.cli.groups import grouped
from llara.cli.importing import import_data, import_rows


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")]
    height: Annotated[int, typer.Option("--height", "-h", help="How high.")] = 2


def test_a_group_is_an_option_for_each_of_its_fields() -> None:
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        context: typer.Context, path: Annotated[Path, typer.Argument()], *, size: Size, fill: bool = False
    ) -> None:
        """Draw a box."""
        print(context.get_parameter_source("width").name, path, size, fill)  # type: ignore[union-attr]

    drawn = CliRunner().invoke(app, ["there", "--width", "3", "--fill"])
    assert drawn.output == "COMMANDLINE there Size(width=3, height=2) True\n"
    assert "height=5" in CliRunner().invoke(app, ["there", "--width", "3", "-h", "5"]).output
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(text in shown for text in ("Draw a box.", "How wide.", "How high."))
    missing = CliRunner().invoke(app, ["there"])
    assert missing.exit_code == 2
    assert "--width" in missing.output


def test_commands_that_make_dataset_folders_have_the_same_options() -> None:
    shared = {"name", "noun", "split", "history_length", "min_history", "force", "json"}
    shaping = {"min_rating", "repeats", "core", "min_length", "max_length", "ties", "seed", "used_items_only"}
    options = [set(inspect.signature(command).parameters) for command in (fetch_data, import_data, import_rows)]
    assert all(shared <= found for found in options)
    assert [shaping <= found for found in options] == [True, True, False]
