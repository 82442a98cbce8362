"""Where the time of a run went, as a table."""

from collections.abc import Mapping

from rich.table import Table

from llara.cli import console


def show_times(columns: Mapping[str, Mapping[str, float]]) -> None:
    """One row per stage, one column per run or part of one; seconds, those of earlier attempts included."""
    table = Table("stage", title="seconds", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    for stage in dict.fromkeys(stage for seconds in columns.values() for stage in seconds):
        table.add_row(stage, *(_cell(seconds.get(stage)) for seconds in columns.values()))
    table.add_section()
    table.add_row("together", *(_cell(sum(seconds.values())) for seconds in columns.values()))
    console.err.print(table)


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
