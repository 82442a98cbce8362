"""Tables of slices, for the terminal and the HTML report: a line per model, a column per bucket."""

from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from llara.evaluate.slices import Slice, SlicedModel, SlicedResults
from llara.evaluate.statistics import FEW_USERS
from llara.evaluate.tables import count_of, format_interval, format_test, mark_of


@dataclass(frozen=True)
class SliceCell:
    """One model in one bucket.

    Attributes:
        value: The hit ratio with its interval.
        versus: The difference to the baseline and its verdict, or "baseline"; empty where nothing is compared.
        best: Whether no model has a higher one there.
    """

    value: str
    versus: str
    best: bool


def bucket_counts(one: Slice) -> str:
    """What a bucket's numbers were counted over, such as "12 rows" or "120 rows, 12 users"."""
    rows = count_of(one.rows, "row")
    return rows if one.rows == one.users else f"{rows}, {count_of(one.users, 'user')}"


def slice_rows(sliced: SlicedResults, *, baseline: str | None = None) -> list[tuple[str, list[SliceCell]]]:
    """(Model, its cell in each bucket that holds rows), in the order of the table of all rows."""
    most = [max(model.hit_ratio for model in one.models) for one in sliced.slices]
    return [
        (models[0].name, [_cell(model, baseline, most=best) for model, best in zip(models, most, strict=True)])
        for models in sliced.by_model()
    ]


def slice_remarks(sliced: SlicedResults) -> str:
    """What is left out, and which numbers are of few users; empty where there is nothing to say."""
    remarks = []
    if sliced.empty:
        remarks.append(f"Left out, since no row falls there: {', '.join(bucket.label for bucket in sliced.empty)}.")
    few = [one.bucket.label for one in sliced.slices if one.users < FEW_USERS]
    if few:
        remarks.append(f"Fewer than {FEW_USERS} users, who say little of others: {', '.join(few)}.")
    return " ".join(remarks)


def slice_table(sliced: SlicedResults, *, baseline: str | None = None, compact: bool = False) -> Table:
    """The table for a terminal.

    Args:
        sliced: The results.
        baseline: Name of the model that the marks compare with, if any.
        compact: Leave out the intervals, for terminals of about 80 columns.
    """
    marks = f" (▲ better, ▼ worse than {baseline})" if baseline is not None else ""
    table = Table(
        title=Text(f"{sliced.title}{marks}"),
        title_justify="left",
        caption=slice_remarks(sliced) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0 if compact else (0, 1),
        show_edge=False,
    )
    table.add_column("model", overflow="fold")
    for one in sliced.slices:
        heading = f"{one.bucket.label}\n{bucket_counts(one).replace(', ', chr(10))}"
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for models in sliced.by_model():
        # Text objects, since a model name may contain what rich would read as markup
        table.add_row(Text(models[0].name), *(Text(_short_cell(model, compact=compact)) for model in models))
    return table


def _cell(model: SlicedModel, baseline: str | None, *, most: float) -> SliceCell:
    test = model.versus_baseline
    alone = "baseline" if model.name == baseline else ""
    value = f"{model.hit_ratio:.3f} {format_interval(model.interval)}"
    return SliceCell(value, alone if test is None else format_test(test), model.hit_ratio == most)


def _short_cell(model: SlicedModel, *, compact: bool) -> str:
    interval = "" if compact else f" {format_interval(model.interval)}"
    return f"{model.hit_ratio:.3f}{interval} {mark_of(model.versus_baseline)}"
