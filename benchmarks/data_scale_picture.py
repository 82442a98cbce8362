"""Draw the figures of `benchmarks.data_scale`: seconds and peak memory over the number of interactions.

python -m benchmarks.data_scale_picture benchmarks/data_scale.json docs/data-scale.png
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator


def main() -> None:
    """Read the first file named, write the second."""
    source, picture = map(Path, sys.argv[1:])
    draw(json.loads(source.read_text(encoding="utf-8"))["costs"]).savefig(picture, dpi=120)


def draw(costs: dict[str, dict[str, Any]]) -> Figure:
    """Two panels with logarithmic axes; a dotted line shows linear growth."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, field, unit, label in zip(
        figure.subplots(1, 2), ("wall_seconds", "peak_bytes"), (1.0, 1e9), ("seconds", "peak memory, GB"), strict=True
    ):
        _panel(axes, costs, field, unit)
        axes.set(xlabel="interactions, millions", ylabel=label, xscale="log", yscale="log")
        axes.set_xticks([int(size) for size in costs])
        axes.xaxis.set_major_formatter(lambda size, _: f"{size / 1e6:g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _panel(axes: Axes, costs: dict[str, dict[str, Any]], field: str, unit: float) -> None:
    sizes = [int(size) for size in costs]
    for stage in next(iter(costs.values())):
        values = [stages[stage][field] / unit for stages in costs.values()]
        axes.plot(sizes, values, marker="o", label=stage)
    axes.plot(sizes, [values[-1] * size / sizes[-1] for size in sizes], ":", color="gray", label="linear growth")


if __name__ == "__main__":
    main()
