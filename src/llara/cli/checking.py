"""How the findings of `llara data check` look on a terminal: what needs a decision first, what is fine in one line."""

from rich.table import Table
from rich.text import Text

from llara.cli import console
from llara.run.data_check import CheckedFolder

_COLORS = {"error": "red", "leak": "red", "warning": "yellow", "note": "cyan", "ok": "green"}
_LEVELS = tuple(_COLORS)


def show_checked(checked: CheckedFolder) -> None:
    """Findings about the folder, leaks and warnings as a table, passed checks in a line, and what it comes to."""
    for finding in sorted(checked.findings, key=lambda finding: _LEVELS.index(finding.level)):
        console.out.print(f"[{_COLORS[finding.level]}]{finding.level}[/]  ", end="")
        console.out.print(finding.message, markup=False, highlight=False, soft_wrap=True)
    if any(finding.level != "ok" for finding in checked.leakage):
        console.out.print(_leakage_table(checked))
    passed = [finding.name for finding in checked.leakage if finding.level == "ok"]
    if passed:
        where = "" if checked.split is None else f", split by {checked.split},"
        console.out.print(f"no leak found{where} by {', '.join(passed)}", markup=False, highlight=False, soft_wrap=True)
    console.out.print(_summary(checked), markup=False, highlight=False, soft_wrap=True)


def _summary(checked: CheckedFolder) -> str:
    counts = {level: checked.count(level) for level in ("error", "warning", "leak")}
    found = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items())
    if not checked.usable:
        verdict = "cannot be used"
    elif counts["leak"]:
        verdict = "`llara train` and `llara evaluate` will refuse this set unless told otherwise"
    else:
        verdict = "can be used"
    return f"{checked.folder}: {found}: {verdict}"


def _leakage_table(checked: CheckedFolder) -> Table:
    """What is no "ok", leaks first."""
    title = "leakage" if checked.split is None else f"leakage, split by {checked.split}"
    table = Table("check", "found", "what", title=title, title_justify="left", show_lines=False)
    for finding in sorted(checked.leakage, key=lambda finding: _LEVELS.index(finding.level)):
        if finding.level != "ok":
            color = _COLORS[finding.level]
            table.add_row(Text(finding.name), Text(finding.level, style=color), Text(finding.message))
    return table
