"""Draw the method: how a history becomes a hybrid prompt, and what reads it.

python -m docs.generate.method_picture docs/method.png
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

_TEXT, _BEHAVIOR, _MODEL, _SCORE, _LINE = "#dbe9f6", "#fde0c5", "#e6e6ea", "#d9eedb", "#444444"
_BOOKS = ("Peter and\nWendy", "Five Children\nand It", "Puck of\nPook's Hill")
_CHOICES = ("The Story of\nthe Amulet", "Glinda\nof Oz")
Point = tuple[float, float]


def main() -> None:
    """Write the picture to the file named."""
    draw().savefig(Path(sys.argv[1]), dpi=130)


def draw() -> Figure:
    """The method from log and catalog, at the bottom, to the scores, at the top; the curriculum on the right."""
    figure = Figure(figsize=(11.5, 6.6))
    axes = figure.add_axes((0.0, 0.0, 0.79, 1.0))
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.axis("off")
    _sources(axes)
    _prompt(axes)
    _reading(axes)
    _curriculum(figure.add_axes((0.815, 0.42, 0.165, 0.24)))
    return figure


def _sources(axes: Axes) -> None:
    _box(axes, (4, 3), (22, 10), "catalog\nitem, title, metadata", _TEXT)
    _box(axes, (36, 3), (22, 10), "log\nuser, item, time", _BEHAVIOR)
    _box(axes, (66, 3), (30, 10), "recommender (SASRec ...),\nfitted first, then frozen", _BEHAVIOR)
    _box(axes, (4, 20), (22, 8), "tokenizer and\nword embeddings", _TEXT)
    _box(axes, (66, 20), (30, 8), "projector: item vector (64)\nto one token of the model's width", _BEHAVIOR)
    _arrow(axes, (15, 13), (15, 20))
    _arrow(axes, (58, 8), (66, 8))
    _arrow(axes, (81, 13), (81, 20), "item vectors")


def _prompt(axes: Axes) -> None:
    axes.text(4, 52.5, "hybrid prompt", fontsize=10, weight="bold", va="center")
    places = [*((f"{title}", 4 + 19 * place) for place, title in enumerate(_BOOKS))]
    for title, left in places:
        _item(axes, title, left)
    axes.text(60.5, 43.5, "...", fontsize=14, ha="center", va="center")
    for place, title in enumerate(_CHOICES):
        _item(axes, title, 63.5 + 16.5 * place)
    axes.text(31, 36.2, "history, oldest first", fontsize=9, ha="center", va="center")
    axes.text(79.8, 36.2, "candidates", fontsize=9, ha="center", va="center")
    _arrow(axes, (15, 28), (15, 34), "textual tokens")
    _arrow(axes, (72, 28), (72, 34), "behavioral tokens ◆, one for each slot", side=-1)


def _item(axes: Axes, title: str, left: float) -> None:
    _box(axes, (left, 39), (12.3, 9.5), title, _TEXT, size_of_text=8)
    _box(axes, (left + 12.6, 39), (3.6, 9.5), "◆", _BEHAVIOR)


def _reading(axes: Axes) -> None:
    _box(
        axes,
        (4, 60),
        (92, 10),
        "language model (the backbone) with an adapter (LoRA), or tuned in full",
        _MODEL,
        size_of_text=11,
    )
    _arrow(axes, (50, 55), (50, 60))
    _box(
        axes,
        (4, 79),
        (34, 15),
        "answer: the paper's way\nlikelihood of each candidate's title,\nor the title that the model writes",
        _SCORE,
    )
    _box(axes, (47, 79), (22, 15), "listwise head\none score for each\ncandidate's last token", _SCORE)
    _box(axes, (76, 79), (20, 15), "prior (optional)\n+ w · log p of the\nrecommender", _BEHAVIOR)
    _arrow(axes, (21, 70), (21, 79))
    _arrow(axes, (58, 70), (58, 79))
    _arrow(axes, (76, 86.5), (69, 86.5))


def _curriculum(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="#d9822b", linewidth=2)
    axes.fill_between([0, 1], [0, 1], color=_BEHAVIOR)
    axes.fill_between([0, 1], [0, 1], [1, 1], color=_TEXT)
    axes.text(0.3, 0.74, "text-only", fontsize=9, ha="center")
    axes.text(0.68, 0.22, "hybrid", fontsize=9, ha="center")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 1], yticks=[0, 1])
    axes.set_title("curriculum", fontsize=10, weight="bold")
    axes.set_xlabel("training progress", fontsize=9)
    axes.set_ylabel("share of hybrid prompts", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.text(0.5, -0.5, "text-only: ◆ becomes\na fixed placeholder", fontsize=8.5, ha="center", va="top")


def _box(axes: Axes, corner: Point, size: Point, text: str, color: str, *, size_of_text: float = 9.5) -> None:
    axes.add_patch(
        FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=1", facecolor=color, edgecolor=_LINE)
    )
    middle = corner[0] + size[0] / 2, corner[1] + size[1] / 2
    axes.text(*middle, text, fontsize=size_of_text, ha="center", va="center", linespacing=1.35)


def _arrow(axes: Axes, start: Point, end: Point, text: str = "", *, side: int = 1) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=_LINE, linewidth=1.3))
    if text:
        align = "left" if side > 0 else "right"
        axes.text(start[0] + 1.5 * side, (start[1] + end[1]) / 2, text, fontsize=9, ha=align, va="center")


if __name__ == "__main__":
    main()
