"""How the findings of `llara data check` look on a terminal."""

from rich.table import Table
from rich.text import Text

from llara.cli import console
from llara.run.data_check import CheckedFolder

_COLORS = {"error": "red", "leak": "red", "warning": "yellow", "ok": "green"}


def show_checked(checked: CheckedFolder) -> None:
    """Findings, the leakage report as a table, and a summary line."""
    for finding in checked.findings:
        console.out.print(f"[{_COLORS[finding.level]}]{finding.level}[/]  ", end="")
        console.out.print(finding.message, markup=False, highlight=False, soft_wrap=True)
    if checked.leakage:
        console.out.print(_leakage_table(checked))
    counts = {level: checked.count(level) for level in ("error", "warning", "leak")}
    summary = f"{checked.folder}: " + ", ".join(
        f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()
    )
    if counts["leak"]:
        summary += ": `llara train` and `llara evaluate` will refuse this set unless told otherwise"
    console.out.print(summary, markup=False, highlight=False, soft_wrap=True)


def _leakage_table(checked: CheckedFolder) -> Table:
    title = "leakage" if checked.split is None else f"leakage, split by {checked.split}"
    table = Table("check", "found", "what", title=title, title_justify="left", show_lines=False)
    for finding in checked.leakage:
        color = _COLORS[finding.level]
        table.add_row(Text(finding.name), Text(finding.level, style=color), Text(finding.message))
    return table
