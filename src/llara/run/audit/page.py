"""The page of an audit, as HTML and JSON."""

import json
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from rich import box
from rich.table import Table
from rich.text import Text

from llara.evaluate.tables import format_interval, format_ratio
from llara.run.audit.probes import Audit, Probe
from llara.run.integrity import replace_text

_HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {{ audit.model }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid #d9dee5; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
td + td { white-space: nowrap; }
small { color: #5a6472; }
</style></head>
<body>
<h1>What does {{ audit.model }} go by?</h1>
<p>{{ caption }}</p>
<table><thead><tr><th scope="col">what was changed</th><th scope="col">HR@1</th><th scope="col">difference</th>
<th scope="col">same first choice</th><th scope="col">rows</th></tr></thead><tbody>
{% for name, meaning, ratio, difference, same, rows in probes %}
<tr><td>{{ name }}<br><small>{{ meaning }}</small></td><td>{{ ratio }}</td><td>{{ difference }}</td><td>{{ same }}</td>
<td>{{ rows }}</td></tr>
{% endfor %}
</tbody></table>
<h2>Which item of the history moves the answer?</h2>
<p>One item is left out. The lead is the right item's score minus the mean of the others': where it falls, the item
spoke for the right one.</p>
<table><thead><tr><th scope="col">left out</th><th scope="col">HR@1 without it</th>
<th scope="col">same first choice</th><th scope="col">change of the lead</th><th scope="col">rows</th></tr></thead>
<tbody>
{% for entry in audit.left_out %}
<tr><td>{{ "the latest" if entry.age == 1 else "the latest but %d"|format(entry.age - 1) }}</td>
<td>{{ "%.3f"|format(entry.hit_ratio) }}</td><td>{{ "%.0f %%"|format(100 * entry.same_choice) }}</td>
<td>{{ "%+.3f"|format(entry.moved) }}</td><td>{{ "{:,}".format(entry.rows) }}</td></tr>
{% endfor %}
</tbody></table>
<h2>Does it answer with what is popular?</h2>
<p>{{ popular }}</p>
</body></html>
"""


def save_audit(folder: Path, audit: Audit) -> None:
    """Write audit.json and audit.html into a folder."""
    replace_text(folder / "audit.json", json.dumps(_plain(audit.as_json()), indent=2) + "\n")
    page = Environment(loader=DictLoader({"page": _HTML}), autoescape=True, undefined=StrictUndefined)
    html = page.get_template("page").render(
        audit=audit, caption=caption(audit), popular=popular_sentence(audit),
        probes=[(probe.name, probe.meaning, *_cells(probe)) for probe in audit.probes],
    )  # fmt: skip
    replace_text(folder / "audit.html", html)


def caption(audit: Audit) -> str:
    """What the numbers were counted over."""
    rows = audit.probes[0].rows
    without = " The recommender's judgment is left out of the scores." if audit.alone else ""
    return (
        f"{rows:,} test rows, {audit.draws} draw(s) of candidates, the same for all; a blind guess has "
        f"{audit.blind:.3f}. Differences are paired over users.{without}"
    )


def popular_sentence(audit: Audit) -> str:
    """How often the answer is the most popular candidate, and how often that is right."""
    return (
        f"Its first choice is the candidate with most training interactions in {audit.most_popular_chosen:.1%} of the "
        f"rows; that candidate is right in {audit.most_popular_right:.1%}."
    )


def audit_table(audit: Audit) -> Table:
    """The probes, for a terminal."""
    table = Table(caption=caption(audit), caption_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for position, title in enumerate(("what was changed", "HR@1", "difference", "same first choice")):
        table.add_column(title, justify="left" if position == 0 else "right", overflow="fold")
    for probe in audit.probes:
        table.add_row(*(Text(cell) for cell in (probe.name, *_cells(probe)[:3])))
    return table


def _cells(probe: Probe) -> tuple[str, str, str, str]:
    difference = "–"
    if probe.versus is not None:
        difference = f"{probe.versus.difference:+.3f} {format_interval(probe.versus.interval, signed=True)}"
    same = "–" if probe.same_choice != probe.same_choice else f"{probe.same_choice:.0%}"
    return format_ratio(probe.hit_ratio), difference, same, f"{probe.rows:,}"


def _plain(value: object) -> object:
    """NaN as null, which JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN
