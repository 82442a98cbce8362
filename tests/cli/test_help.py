import re
from collections.abc import Iterator

import click
import pytest
import typer.main
from typer.testing import CliRunner

from llara.cli import app

RUNNER = CliRunner()


def _commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all commands and groups."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


ALL = list(_commands(typer.main.get_command(app)))


def test_there_are_the_commands_of_the_contract() -> None:
    names = {" ".join(path) for path in ALL}
    assert {"quickstart", "train", "evaluate", "recommend"} <= names
    assert {"data import", "data check", "data describe", "backbone fetch"} <= names


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_exits_with_zero_and_shows_an_example(path: tuple[str, ...]) -> None:
    result = RUNNER.invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage" in click.unstyle(result.stdout)
    if path and path not in (("data",), ("backbone",)):
        assert f"Example: llara {' '.join(path)}" in " ".join(click.unstyle(result.stdout).split())
        assert "--json" in click.unstyle(result.stdout)


def test_the_first_options_of_an_import_are_those_that_a_newcomer_needs() -> None:
    shown = click.unstyle(RUNNER.invoke(app, ["data", "import", "--help"], env={"COLUMNS": "120"}).stdout)
    first, *others = shown.partition("─ Options ─")[2].split("╭─ ")
    options = re.findall(r"│ (--[a-z-]+)", first)
    assert options == ["--items", "--user", "--item", "--time", "--title", "--noun", "--force", "--json", "--help"]
    assert [panel.partition(" ─")[0] for panel in others] == [
        "A known data set",
        "Columns and rows that need care",
        "Which interactions count",
        "What the folder says of itself",
        "How text files are written",
    ]


def test_unknown_command_exits_with_two() -> None:
    assert RUNNER.invoke(app, ["trian"]).exit_code == 2
