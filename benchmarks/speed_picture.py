"""Draw the figures of `benchmarks.speed`: rows per second of each stage, ours beside the references.

python -m benchmarks.speed_picture benchmarks/speed.json docs/speed.png
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LABELS = {
    "train": "training",
    "reference-train": "training, plain",
    "listwise": "listwise scoring",
    "answer": "exact scoring",
    "reference-generate": "generation, plain",
    "reference-each": "one pass per\ncandidate, plain",
}


def main() -> None:
    """Read the first file named, write the second."""
    source, picture = map(Path, sys.argv[1:])
    draw(json.loads(source.read_text(encoding="utf-8"))["shapes"]).savefig(picture, dpi=120)


def draw(shapes: dict[str, Any]) -> Figure:
    """One panel per shape, a bar per stage and precision."""
    figure = Figure(figsize=(6 * len(shapes), 4.4), layout="constrained")
    panels = figure.subplots(1, len(shapes), squeeze=False)[0]
    for axes, (shape, measured) in zip(panels, shapes.items(), strict=True):
        _panel(axes, shape, measured)
    panels[0].legend(frameon=False, loc="lower right")
    return figure


def _panel(axes: Axes, shape: str, measured: dict[str, Any]) -> None:
    height = 0.8 / len(measured)
    for number, (precision, stages) in enumerate(measured.items()):
        rates = [stages[stage]["rows_per_second"] for stage in _LABELS]
        places = [place + number * height for place in range(len(_LABELS))]
        bars = axes.barh(places, rates, height=height, label=precision)
        axes.bar_label(bars, fmt="{:.3g}", padding=2, fontsize=8)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(_LABELS))], list(_LABELS.values()))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(title=shape, xlabel="rows per second (20 candidates each)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)


if __name__ == "__main__":
    main()
