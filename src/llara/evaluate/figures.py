"""The figures of a report, as matplotlib figures without global state."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from llara.data.files import write_atomically
from llara.evaluate.content import ReportContent, TrainingMetrics
from llara.evaluate.metrics import FloatArray
from llara.evaluate.results import EvaluationReport
from llara.evaluate.slices import SlicedResults

# Each color stands for one CSS variable of the report, so that inline figures follow light and dark mode.
INK, MUTED, LINE, ACCENT, SECOND, GOOD = "#1b1e23", "#5c6470", "#d5d9df", "#1f63b5", "#b4500f", "#17703a"
_CSS_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", ACCENT: "--accent", SECOND: "--second", GOOD: "--good"
}  # fmt: skip
_LINES = (("solid", "o"), ((0, (4, 2)), "s"), ((0, (1, 1.5)), "^"))
"""Dash and marker of the models of a slice figure: other ones where the colors are used up."""
_WIDTH = 4.8  # inches: readable both in half of a wide page and on a phone
_FONT_SIZE = 9.0
_BETWEEN = " A dashed line stands where a stage begins: numbers on its two sides need not compare."


@dataclass(frozen=True)
class NamedFigure:
    """A figure with what the page says about it.

    Attributes:
        name: File stem, such as "hr_at_1".
        title: Heading.
        caption: What to see, in plain words; also the text for those who do not see the picture.
        figure: The picture.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def report_figures(content: ReportContent) -> list[NamedFigure]:
    """All figures that the content has data for, HR@1 bars first."""
    report, metrics = content.evaluation, content.training_metrics
    place = "first" if report.cutoff == 1 else f"among the first {report.cutoff}"
    between = _BETWEEN if len(stages_of(metrics)) > 1 else ""
    candidates = (
        NamedFigure(
            f"hr_at_{report.cutoff}",
            f"How often each model puts the right item {place}",
            f"HR@{report.cutoff} with its {report.level:.0%} interval. The dashed line is a blind guess among "
            f"{report.num_candidates:,} items ({report.random_hit_ratio:.3f}).",
            hit_ratio_figure(report),
        ),
        *(_slice_figure_of(report, sliced) for sliced in report.slices),
        _optional(
            "validation_hr_at_1",
            "Learning curve",
            "HR@1 on the validation rows during training; the ring marks the best step." + between,
            validation_figure(metrics),
        ),
        _optional(
            "loss",
            "Training loss",
            "The loss of each logged step (pale) and its moving average (strong). Lower is better." + between,
            loss_figure(metrics),
        ),
        _optional(
            "curriculum",
            "Curriculum: planned and realized",
            "Share of training prompts that carried behavioral tokens: the plan (line) and what was drawn (dots).",
            curriculum_figure(metrics),
        ),
    )
    figures = [figure for figure in candidates if figure is not None]
    for named in figures:
        _lay_out(named.figure)
    return figures


def hit_ratio_figure(report: EvaluationReport) -> Figure:
    """Horizontal bars of the hit ratio with intervals, names above the bars, and the line of a blind guess."""
    count = len(report.results)
    figure, axes = _new_figure(height=0.75 + 0.52 * count)
    highest = report.random_hit_ratio
    for row, result in enumerate(report.results):
        interval = result.hit_interval(level=report.level)
        value = result.hit_ratio
        is_baseline = result.name == report.baseline
        axes.barh(row, value, height=0.42, color=MUTED if is_baseline else ACCENT, alpha=0.55)
        if interval is not None:
            ends = [interval.low, interval.high]
            axes.plot(ends, [row, row], color=INK, linewidth=1.6)
            axes.plot(ends, [row, row], color=INK, marker="|", markersize=8, linestyle="none")
        label = f"{result.name} (baseline)" if is_baseline else result.name
        _plain(axes.text(0, row - 0.3, _shorten(label), ha="left", va="bottom", color=INK))
        end = max(interval.high, value) if interval is not None else value
        highest = max(highest, end)
        axes.text(end + 0.012, row, f"{value:.3f}", ha="left", va="center", color=INK, fontweight="bold")
        # One piece per bar: a line through the whole figure would cross the names
        guess = [report.random_hit_ratio] * 2
        axes.plot(guess, [row - 0.27, row + 0.27], color=SECOND, linestyle=(0, (2.5, 1.5)), linewidth=1.8)
    axes.set_xlim(0, highest * 1.22)
    axes.set_ylim(count - 0.6, -0.85)
    axes.set_yticks([])
    axes.set_xlabel(f"HR@{report.cutoff}")
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return figure


def slice_figure(report: EvaluationReport, sliced: SlicedResults) -> Figure | None:
    """The hit ratio with intervals in each bucket, a line per model; None where all rows are in one bucket."""
    if len(sliced.slices) < 2:
        return None
    count = len(report.results)
    figure, axes = _new_figure(height=2.7 + 0.17 * count)
    places = np.arange(len(sliced.slices))
    for number, (models, style) in enumerate(zip(sliced.by_model(), _line_styles(report), strict=True)):
        at = places + 0.5 * ((number + 0.5) / count - 0.5)  # side by side, so that no interval hides another
        values = [model.hit_ratio for model in models]
        name = models[0].name + (" (baseline)" if models[0].name == report.baseline else "")
        axes.plot(at, values, linewidth=1.4, markersize=4.5, label=_shorten(name), **style)
        for place, model in zip(at, models, strict=True):
            if model.interval is not None:
                axes.plot([place] * 2, [model.interval.low, model.interval.high], color=style["color"], linewidth=1.4)
    guess = [report.random_hit_ratio] * 2
    axes.plot([places[0] - 0.4, places[-1] + 0.4], guess, color=MUTED, linestyle=(0, (2.5, 1.5)), linewidth=1, zorder=0)
    axes.set_xticks(places, [f"{one.bucket.label}\n{one.rows:,} row{'s'[: one.rows != 1]}" for one in sliced.slices])
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # room for dots at 0
    axes.set_ylabel(f"HR@{report.cutoff}")
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    legend = figure.legend(
        loc="outside lower left", frameon=False, labelcolor=INK, fontsize=_FONT_SIZE - 1, handlelength=3.5
    )
    for text in legend.get_texts():
        _plain(text)
    return figure


def _slice_figure_of(report: EvaluationReport, sliced: SlicedResults) -> NamedFigure | None:
    return _optional(
        slice_figure_name(sliced),
        sliced.title,
        f"Dots are HR@{report.cutoff}, bars its {report.level:.0%} interval. The thin dashed line is a blind guess.",
        slice_figure(report, sliced),
    )


def slice_figure_name(sliced: SlicedResults) -> str:
    """File stem of its figure."""
    return f"hr_at_{sliced.cutoff}_by_{sliced.slicing.key}"


def _line_styles(report: EvaluationReport) -> list[dict[str, Any]]:
    """Color and dash of each model: gray for the baseline, and for the others in the order of their hits."""
    others = sorted((result.hits, result.name) for result in report.results if result.name != report.baseline)
    order = [name for _, name in reversed(others)]
    styles = [
        {"color": color, "linestyle": dash, "marker": marker}
        for dash, marker in _LINES
        for color in (ACCENT, SECOND, GOOD, INK)
    ]
    chosen = {name: styles[place % len(styles)] for place, name in enumerate(order)}
    return [chosen.get(result.name, {"color": MUTED, "linestyle": "solid", "marker": "o"}) for result in report.results]


def loss_figure(metrics: TrainingMetrics) -> Figure | None:
    """Loss over steps with its moving average; None without logged losses."""
    step, loss = series(metrics, "loss")
    if not len(step):
        return None
    figure, axes = _new_figure()
    axes.plot(step, loss, color=ACCENT, alpha=0.35, linewidth=1, marker="o" if len(step) == 1 else None)
    for stage in stages_of(metrics):
        own_step, own_loss = series(stage, "loss")
        axes.plot(own_step, moving_average(own_loss), color=ACCENT, linewidth=2)
    _mark_stages(axes, metrics)
    _label_steps(axes, "loss")
    return figure


def validation_figure(metrics: TrainingMetrics) -> Figure | None:
    """Validation HR@1 over steps, best step of the last stage ringed; None without validations."""
    stages = [series(stage, "validation_hit_ratio") for stage in stages_of(metrics)]
    stages = [(step, value) for step, value in stages if len(step)]
    if not stages:
        return None
    figure, axes = _new_figure()
    for step, value in stages:
        axes.plot(step, value, color=ACCENT, linewidth=1.8, marker="o", markersize=4)
    _mark_stages(axes, metrics)
    step, value = stages[-1]
    best = int(value.argmax())
    axes.plot(
        step[best], value[best], marker="o", markersize=11, markerfacecolor="none", color=SECOND, markeredgewidth=1.8
    )
    axes.annotate(
        f"best {value[best]:.3f}, step {int(step[best]):,}",
        (0.02, 0.97),
        xycoords="axes fraction",
        ha="left",
        va="top",
        color=SECOND,
    )
    values = np.concatenate([value for _, value in stages])
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 0.02)
    axes.set_ylim(max(0.0, low - 0.15 * room), high + 0.3 * room)
    _label_steps(axes, "validation HR@1")
    return figure


def curriculum_figure(metrics: TrainingMetrics) -> Figure | None:
    """Planned probability of a hybrid prompt and the share that was drawn; None where neither was logged."""
    planned_step, planned = series(metrics, "hybrid_planned")
    realized_step, realized = series(metrics, "hybrid_realized")
    if not len(planned_step) and not len(realized_step):
        return None
    figure, axes = _new_figure()
    axes.plot(
        realized_step,
        realized,
        color=SECOND,
        alpha=0.45,
        linestyle="none",
        marker="o",
        markersize=2.5,
        label="realized, each step",
    )
    axes.plot(
        realized_step,
        moving_average(realized),
        color=SECOND,
        linewidth=1.6,
        linestyle=(0, (5, 2)),
        label="realized, average",
    )
    axes.plot(planned_step, planned, color=ACCENT, linewidth=2.2, label="planned")
    axes.set_ylim(-0.04, 1.3)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.legend(loc="upper left", frameon=False, labelcolor=INK, fontsize=_FONT_SIZE - 1, ncols=2, borderaxespad=0.1)
    _label_steps(axes, "share of hybrid prompts")
    return figure


def figure_svg(named: NamedFigure) -> str:
    """The figure as an `<svg>` element for an HTML page: CSS colors, page font, ids of its own, nothing external."""
    buffer = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": named.name}), _any_letters():
        named.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{named.name}-", svg)
    for color, variable in _CSS_VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)


def save_figures(folder: Path, figures: Sequence[NamedFigure]) -> list[Path]:
    """Write each figure as `NAME.png` on white, 200 dots per inch.

    Raises:
        DataError: If the folder cannot be written to.
    """
    paths = []
    for named in figures:
        path = folder / f"{named.name}.png"
        with _any_letters():
            write_atomically(path, partial(named.figure.savefig, format="png", dpi=200))
        paths.append(path)
    return paths


def series(metrics: TrainingMetrics, key: str) -> tuple[FloatArray, FloatArray]:
    """Steps and values of the lines that carry a finite value under `key`, both of shape [points]."""
    points = [(line["step"], line[key]) for line in metrics if _is_number(line, key) and _is_number(line, "step")]
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def stages_of(metrics: TrainingMetrics) -> list[TrainingMetrics]:
    """The lines of each stage of the training, whose losses do not compare; all of them where there is one stage."""
    return [list(lines) for _, lines in groupby(metrics, key=lambda line: line.get("stage"))]


def moving_average(values: FloatArray) -> FloatArray:
    """Centered average over about a twentieth of the points, shorter at both ends, same shape."""
    half = len(values) // 40
    if half == 0:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(half, np.minimum(index, len(values) - 1 - index))
    average: FloatArray = (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)
    return average


def _is_number(line: Mapping[str, float | int | None], key: str) -> bool:
    value = line.get(key)
    return value is not None and bool(np.isfinite(value))


def _optional(name: str, title: str, caption: str, figure: Figure | None) -> NamedFigure | None:
    return None if figure is None else NamedFigure(name, title, caption, figure)


def _new_figure(height: float = 3.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=_FONT_SIZE, length=0)
    axes.xaxis.label.set(color=MUTED, fontsize=_FONT_SIZE)
    axes.yaxis.label.set(color=MUTED, fontsize=_FONT_SIZE)
    return figure, axes


def _lay_out(figure: Figure) -> None:
    """Place everything once and for all: it takes as long as drawing, and every saved format would do it again."""
    with _any_letters():
        figure.draw_without_rendering()
    figure.set_layout_engine(None)


@contextmanager
def _any_letters() -> Iterator[None]:
    """No warnings of letters that matplotlib's font lacks: the page's own font has them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _label_steps(axes: Axes, y_label: str) -> None:
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(y_label)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _mark_stages(axes: Axes, metrics: TrainingMetrics) -> None:
    """A dashed line where a stage begins after another."""
    for stage in stages_of(metrics)[1:]:
        first = stage[0].get("step")
        if first is not None:
            axes.axvline(first - 0.5, color=MUTED, linestyle=(0, (2.5, 1.5)), linewidth=1)


def _plain(text: Text) -> None:
    """Draw a model's name as it is: a dollar sign in it starts no formula."""
    text.set_parse_math(False)


def _shorten(name: str, limit: int = 48) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
