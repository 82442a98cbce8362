"""The HTML report: one file that explains itself, with nothing to load from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from llara.data.files import write_atomically
from llara.evaluate.content import ReportContent, Setting
from llara.evaluate.results import EvaluationReport
from llara.evaluate.slice_tables import bucket_counts, slice_remarks, slice_rows
from llara.evaluate.tables import ceiling_sentence, column_titles, list_rows, list_titles, table_caption, table_rows
from llara.evaluate.tasks import metrics_of

if TYPE_CHECKING:
    from llara.evaluate.figures import NamedFigure

_TEMPLATES = Path(__file__).parent / "templates"
_POPULARITY = ("popularity", "Puts the item with the most interactions first, whoever asks.")
_BASELINE = (
    "The conventional recommender: it learns which items follow which in histories, and reads no prompt. The others "
    "are compared with it."
)
_MEMBERS = (
    ("text", "Scores an item by how much its text reads like those of the history. It learns nothing."),
    ("counts", "Counts what was chosen soon after what, and how often an item was chosen at all."),
    ("ease", "A linear model of which items go together, whatever their order."),
    ("item-knn", "Items that the same users chose, for the latest items of the history most of all."),
    ("text-sasrec", "SASRec, whose item vectors are made from vectors of the items' texts."),
)
"""What a fusion can be made of, beside recommenders that stand alone, too."""
_LLARA = (
    ("text-only LLaRA", "The language model, which reads the titles and nothing else."),
    (
        "hybrid LLaRA",
        "The language model, which reads each title followed by one behavioral token: the recommender's vector of that "
        "item, translated for the language model.",
    ),
    ("(listwise)", "The model reads all offered items at once and gives each a score. Not in the paper."),
    (
        "(sequence)",
        "The model reads the history alone, and what it then expects is compared with a vector of every item. Not in "
        "the paper.",
    ),
    (
        "without ",
        "What the language model ranks by itself, with the recommender's part taken out of its score. It still reads "
        "the recommender's vectors in its prompt.",
    ),
    ("(answer)", "The probability that the model answers with this item's title, computed exactly."),
    ("(free generation)", "The model writes its answer, as in the paper."),
)
"""(Part of a LLaRA's name, what it means)"""


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
    from llara.evaluate.figures import figure_svg, report_figures, slice_figure_name  # noqa: PLC0415  (slow to import)

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
    by_name = {figure[0].name: figure for figure in drawn[1:]}
    slices = [(sliced, by_name.pop(slice_figure_name(sliced), None)) for sliced in report.slices]
    return environment.get_template("report.html").render(
        content=content,
        report=report,
        columns=column_titles(report),
        rows=table_rows(report),
        caption=table_caption(report),
        ceiling=ceiling_sentence(report),
        list_columns=list_titles(report),
        list_rows=list_rows(report),
        explained=[metric for metric in metrics_of(report.task) if metric.meaning],
        headline_figure=drawn[0],
        slices=slices,
        slice_rows=slice_rows,
        slice_remarks=slice_remarks,
        bucket_counts=bucket_counts,
        training_figures=list(by_name.values()),
        kinds=model_kinds(report),
        has_generation=any(not result.ranks_candidates for result in report.results),
        settings=setting_groups(content.settings),
        facts=list(flatten_settings(content.data_facts)),
    )


def model_kinds(report: EvaluationReport) -> list[tuple[str, str]]:
    """What the names in the table mean, for who meets them for the first time: (part of a name, explanation)."""
    names = [result.name for result in report.results]
    kinds = [_POPULARITY] if _POPULARITY[0] in names else []
    if report.baseline is not None:
        kinds.append((report.baseline, _BASELINE))
    kinds += [(name, text) for name, text in _MEMBERS if name in names and name != report.baseline]
    return kinds + [(part, text) for part, text in _LLARA if any(part.rstrip(")") in name for name in names)]


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
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_readable(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        nested = any(isinstance(entry, Mapping) for entry in value)
        return ("; " if nested else ", ").join(_readable(entry) for entry in value)
    return _readable_plain(value)


def _readable_plain(value: Setting) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Thousands are grouped from five digits on: a year or a seed stays as it was typed
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
