"""The headline table of a report, for the terminal, Markdown and the HTML report."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from llara.evaluate.model_result import ModelResult
from llara.evaluate.results import EvaluationReport
from llara.evaluate.statistics import FEW_USERS, Interval, PairedTest
from llara.evaluate.tasks import Metric, metrics_of

_SIGNS = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie", "not decided": "not decided"}
_SUPPORT = {
    "better": "a difference that the test rows support",
    "not decided": "these are too few users to say which is better",
}
_HEADING_BREAKS = {"ValidRatio": "Valid\nRatio", "hits / rows": "hits\n/ rows"}


@dataclass(frozen=True)
class TableRow:
    """One model's cells in the order of `column_titles`, and whether it has the most hits of all."""

    cells: tuple[str, ...]
    best: bool


def column_titles(report: EvaluationReport) -> tuple[str, ...]:
    """Headings of the columns that `table_rows` fills."""
    return (
        "model",
        "hits / rows",
        f"HR@{report.cutoff} [{report.level:.0%} interval]",
        *(metric.title for metric in _metrics(report, of_lists=False)),
        f"vs {report.baseline}" if report.baseline else "vs recommender",
        "seconds",
    )


def table_rows(report: EvaluationReport) -> list[TableRow]:
    """One row per model; "–" stands where a number does not apply."""
    most = max(result.hits for result in report.results)
    return [TableRow(_cells(report, result), result.hits == most) for result in report.results]


def list_titles(report: EvaluationReport) -> tuple[str, ...]:
    """Headings of the columns that `list_rows` fills; empty where the task says nothing of lists."""
    titles = tuple(metric.title for metric in _metrics(report, of_lists=True))
    return ("model", *titles) if titles else ()


def list_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    """What the first places of each model are made of."""
    metrics = _metrics(report, of_lists=True)
    return [(result.name, *(format_ratio(metric.value(result)) for metric in metrics)) for result in report.results]


def _metrics(report: EvaluationReport, *, of_lists: bool) -> list[Metric]:
    return [metric for metric in metrics_of(report.task) if metric.of_lists == of_lists]


def table_caption(report: EvaluationReport) -> str:
    """What one row of the table was counted over."""
    asked = "items" if report.results[0].task == "full ranking" else "candidates"
    candidates = f"{report.num_candidates:,} {asked} each; a blind guess scores {report.random_hit_ratio:.3f}"
    users = report.results[0].num_users
    rows = count_of(users, "user")
    if users != report.rows:
        rows = f"{report.rows:,} rows of {rows}"
    doubt = few_users_remark(users)
    ending = f"{candidates}. {doubt}" if doubt else candidates
    return f"{rows}, {ending}" if report.draws == 1 else f"{rows} x {report.draws} candidate draws, {ending}"


def ceiling_sentence(report: EvaluationReport) -> str:
    """What choosing between the members could reach at most; empty where nothing is made of others."""
    ceiling = report.ceiling
    if ceiling is None:
        return ""
    reached = f"{format_ratio(ceiling.hit_ratio)} {format_interval(ceiling.hit_interval(level=report.level))}"
    *first, last = report.members
    return (
        f"An oracle that picks the best of {', '.join(first)} and {last} in each row would reach "
        f"HR@{report.cutoff} {reached}."
    )


def few_users_remark(users: int) -> str:
    """What a reader must know of intervals over so few users; empty where they are enough."""
    if users >= FEW_USERS:
        return ""
    if users == 1:
        return "One user says nothing about others: there are no intervals and nothing is decided"
    return f"{users} users are few: small differences cannot be seen"


def count_of(count: int, noun: str) -> str:
    """A number with its noun, such as "1 user" or "1,200 users"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def results_table(report: EvaluationReport, *, compact: bool = False) -> Table:
    """The table for a terminal.

    Args:
        report: The results.
        compact: Break cells into two lines, for terminals of about 80 columns.
    """
    table = Table(
        caption=table_caption(report),
        caption_justify="left",
        box=box.SIMPLE_HEAD if compact else box.HEAVY_HEAD,
        padding=0 if compact else (0, 1),
        show_edge=not compact,
    )
    for position, title in enumerate(column_titles(report)):
        heading = _HEADING_BREAKS.get(title, title.replace(" ", "\n", 1)) if compact else title
        justify: Literal["left", "right"] = "left" if position == 0 else "right"
        # Numbers stay whole: names, which wrap between words, give way to them.
        table.add_column(Text(heading), justify=justify, overflow="fold", no_wrap=compact and position > 0)
    for row in table_rows(report):
        name, *numbers = row.cells
        if compact:
            numbers = [re.sub(r" (?=[\[▲▼=/]|not )", "\n", number) for number in numbers]
        # Text objects, since a model name may contain what rich would read as markup
        table.add_row(*(Text(cell) for cell in (name, *numbers)), style="bold" if row.best else None)
    return table


def lists_table(report: EvaluationReport, *, compact: bool = False) -> Table | None:
    """What the lists are made of, for a terminal; None where the task says nothing of it."""
    titles = list_titles(report)
    if not titles:
        return None
    table = Table(
        title=f"what the first {report.cutoff} places are made of",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0 if compact else (0, 1),
        show_edge=False,
    )
    for position, title in enumerate(titles):
        heading = title.replace(" ", "\n", 1) if compact else title
        table.add_column(heading, justify="left" if position == 0 else "right", overflow="fold")
    for row in list_rows(report):
        table.add_row(*(Text(cell) for cell in row))
    return table


def markdown_table(report: EvaluationReport) -> str:
    """The table for a Markdown document, best model in bold, ending with a newline."""
    titles = [_escape_markdown(title) for title in column_titles(report)]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    for row in table_rows(report):
        name, *numbers = (_escape_markdown(cell) for cell in row.cells)
        lines.append("| " + " | ".join([f"**{name}**" if row.best else name, *numbers]) + " |")
    return "\n".join([*lines, "", table_caption(report) + "."]) + "\n"


def summary_sentence(report: EvaluationReport) -> str:
    """The outcome in one plain sentence: who found most, and whether the rows can tell it from the baseline."""
    best = max(report.results, key=lambda result: result.hits)
    name = best.name[:1].upper() + best.name[1:]
    place = "first" if report.cutoff == 1 else f"among the first {report.cutoff}"
    found = (
        f"{name} put the item that the user really chose next {place} in {_percent(best.hit_ratio)} of the test rows"
    )
    if report.baseline is None:
        return f"{found}; a blind guess would reach {_percent(report.random_hit_ratio)}."
    if best.name == report.baseline:
        return f"{found}; no other model found more."
    baseline = report.result(report.baseline)
    judged = _SUPPORT.get(report.comparisons[best.name].verdict, "too close to call with these rows")
    return f"{found}, {baseline.name} in {_percent(baseline.hit_ratio)}: {judged}."


def _percent(value: float) -> str:
    """The digits that the table shows: 370 of 800 are 0.463 there, and must not be 46.2% here."""
    return f"{float(format_ratio(value)):.1%}"


def format_ratio(value: float | None) -> str:
    """Three decimals, or "–" where the number does not apply."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def format_interval(interval: Interval | None, *, signed: bool = False) -> str:
    """Both ends in brackets, or "–" where there is no honest interval."""
    form = "+.3f" if signed else ".3f"
    return "–" if interval is None else f"[{interval.low:{form}}, {interval.high:{form}}]"


def format_test(test: PairedTest) -> str:
    """The difference and what the rows say of it, such as "+0.031 ▲ better"."""
    return f"{test.difference:+.3f} {_SIGNS[test.verdict]}"


def mark_of(test: PairedTest | None) -> str:
    """▲ better, ▼ worse, or a space where the rows cannot tell or nothing is compared."""
    return {"better": "▲", "worse": "▼"}.get(test.verdict if test is not None else "", " ")


def _cells(report: EvaluationReport, result: ModelResult) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.hits:,} / {result.total:,}",
        f"{result.hit_ratio:.3f} {format_interval(result.hit_interval(level=report.level))}",
        *(format_ratio(metric.value(result)) for metric in _metrics(report, of_lists=False)),
        _versus(report, result),
        f"{result.seconds:,.1f}",
    )


def _versus(report: EvaluationReport, result: ModelResult) -> str:
    if result.name == report.baseline:
        return "baseline"
    test: PairedTest | None = report.comparisons.get(result.name)
    return "–" if test is None else format_test(test)


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
