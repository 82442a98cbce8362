"""The page of a sweep: a table and a picture, best first, as Markdown, HTML and JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import DictLoader, Environment, StrictUndefined
from rich import box
from rich.table import Table
from rich.text import Text

from llara.evaluate.tables import format_interval, format_ratio
from llara.run.integrity import replace_text
from llara.run.sweep.results import Compared, FoundCell, SweepResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIGNS = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie", "not decided": "not decided"}
_HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #d9dee5; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
</style></head>
<body>
<h1>{{ title }}</h1>
<p>{{ caption }}</p>
<img src="sweep.png" alt="{{ caption }}">
{% for heading, titles, rows in tables %}
<h2>{{ heading }}</h2>
<table><thead><tr>{% for cell in titles %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table>
{% endfor %}
</body></html>
"""

_Rows = tuple[str, list[str], list[list[str]]]
"""A heading, the titles of its table's columns, and the rows."""


def save_page(folder: Path, results: SweepResults) -> None:
    """Write sweep.json, sweep.md, sweep.html and sweep.png into a sweep's folder, replacing earlier ones."""
    title = f"Sweep: {folder.name}"
    replace_text(folder / "sweep.json", json.dumps(results.as_json(), indent=2) + "\n")
    replace_text(folder / "sweep.md", _markdown(title, results))
    page = Environment(loader=DictLoader({"page": _HTML}), autoescape=True, undefined=StrictUndefined)
    found = page.get_template("page").render(title=title, caption=caption(results), tables=_tables(results))
    replace_text(folder / "sweep.html", found)
    figure(results).savefig(folder / "sweep.png", dpi=130)


def caption(results: SweepResults) -> str:
    """What the numbers were counted over."""
    return (
        f"HR@1 with its {results.level:.0%} interval: {results.rows:,} rows of {results.users:,} users x "
        f"{results.draws} candidate draws, the same for all. Differences are paired over users; a verdict holds after "
        "Holm's correction for all comparisons of this page."
    )


def sweep_table(results: SweepResults) -> Table:
    """Combinations, best first, for a terminal; the page has more columns."""
    _, titles, rows = _tables(results)[0]
    table = Table(caption=caption(results), caption_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for position, title in enumerate(titles[:4]):
        table.add_column(Text(title), justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[:4]))
    return table


def figure(results: SweepResults) -> "Figure":
    """A bar for each combination, best first, with its interval, and a mark at its recommender."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    count = len(results.cells)
    drawn = Figure(figsize=(8.0, 1.0 + 0.36 * count), layout="constrained")
    axes = drawn.subplots()
    for place, found in enumerate(results.cells):
        axes.barh(place, found.hit_ratio, height=0.6, color="#3b6ea5", alpha=0.55)
        if found.interval is not None:
            axes.plot([found.interval.low, found.interval.high], [place, place], color="#1d2430", linewidth=1.6)
        if found.baseline is not None:
            label = "its recommender" if place == 0 else None
            axes.plot([found.baseline] * 2, [place - 0.35, place + 0.35], color="#c0562f", linewidth=2, label=label)
    axes.set_yticks(range(count), [found.cell.name.replace("$", r"\$") for found in results.cells])
    axes.invert_yaxis()
    axes.set_xlabel("HR@1")
    axes.set_xlim(left=0)
    if any(found.baseline is not None for found in results.cells):
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return drawn


def _tables(results: SweepResults) -> list[_Rows]:
    first = {compared.name: compared for compared in results.against_first}
    against = results.against_first[0].against
    titles = ["combination", "HR@1", "interval", f"vs {against}", "p, corrected", "recommender", "minutes"]
    found = [("All combinations, best first", titles, [_cell_row(cell, first) for cell in results.cells])]
    for axis, compared in results.options.items():
        rows = [[each.name, each.against, _difference(each), f"{each.adjusted:.3g}"] for each in compared]
        heading, titles = f"{axis}, over all combinations that have both", ["option", "against", "HR@1", "p, corrected"]
        found.append((heading, titles, rows))
    return found


def _cell_row(found: FoundCell, first: dict[str, Compared]) -> list[str]:
    compared = first.get(found.cell.name)
    return [
        found.cell.name,
        format_ratio(found.hit_ratio),
        format_interval(found.interval),
        "–" if compared is None else _difference(compared),
        "–" if compared is None else f"{compared.adjusted:.3g}",
        format_ratio(found.baseline),
        " / ".join(f"{minutes:g}" for minutes in found.minutes),
    ]


def _difference(compared: Compared) -> str:
    test = compared.test
    return f"{test.difference:+.3f} {format_interval(test.interval, signed=True)} {_SIGNS[compared.verdict]}"


def _markdown(title: str, results: SweepResults) -> str:
    parts = [f"# {title}", caption(results), "![bars](sweep.png)"]
    for heading, titles, rows in _tables(results):
        lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
        lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
        parts += [f"## {heading}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"
