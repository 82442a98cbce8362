"""The HTML report: one file that explains itself, with nothing to load from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from llara.data.files import write_atomically
from llara.evaluate.content import ReportContent, Setting
from llara.evaluate.tables import column_titles, table_caption, table_rows

if TYPE_CHECKING:
    from llara.evaluate.figures import NamedFigure

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(path: Path, content: ReportContent, *, figures: "Sequence[NamedFigure] | None" = None) -> None:
    """Write the report as one self-contained HTML file; an earlier file survives an interruption.

    Args:
        path: The file.
        content: What the report says.
        figures: From `report_figures`, where they are saved as files as well; None: drawn for the report alone.

    Raises:
        DataError: If the file cannot be written.
    """
    html = render_report(content, figures=figures)
    write_atomically(path, lambda target: _write_text(target, html))


def render_report(content: ReportContent, *, figures: "Sequence[NamedFigure] | None" = None) -> str:
    """The report as HTML. Titles, prompts, names and settings are escaped: nothing in them can act."""
    from llara.evaluate.figures import figure_svg, report_figures  # noqa: PLC0415  (slow to import)

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    report = content.evaluation
    # The only trusted markup: matplotlib escapes the names it draws
    drawn = [(named, Markup(figure_svg(named))) for named in figures or report_figures(content)]
    return environment.get_template("report.html").render(
        content=content,
        report=report,
        columns=column_titles(report),
        rows=table_rows(report),
        caption=table_caption(report),
        headline_figure=drawn[0],
        training_figures=drawn[1:],
        has_generation=any(not result.ranks_candidates for result in report.results),
        settings=setting_groups(content.settings),
        facts=list(flatten_settings(content.data_facts)),
    )


def setting_groups(settings: Mapping[str, Setting]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Nested settings as tables: (group, [(dotted key, value)]); plain values at the top come first, as "run"."""
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    groups = [("run", list(flatten_settings(plain)))] if plain else []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            groups.append((key, list(flatten_settings(value))))
    return groups


def flatten_settings(settings: Mapping[str, Setting], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, readable value) of each leaf, in the given order."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten_settings(value, f"{name}.")
        else:
            yield name, _readable(value)


def _readable(value: Setting) -> str:
    if value is None or value in ({}, [], ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Thousands are grouped from five digits on: a year or a seed stays as it was typed
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_readable(entry) for entry in value)
    return str(value)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
