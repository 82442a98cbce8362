"""How results look on a terminal."""

from rich.table import Table
from rich.text import Text

from llara.cli import console
from llara.cli.times import show_times
from llara.evaluate import EvaluationReport, PairedTest, results_table
from llara.evaluate.slice_tables import slice_table
from llara.evaluate.slices import TARGET_COUNT
from llara.evaluate.tables import ceiling_sentence, format_interval, lists_table
from llara.run.evaluation import Evaluated
from llara.run.quickstart import Quickstart
from llara.run.recommending import Ranking

_NARROW = 118


def show_table(report: EvaluationReport) -> None:
    """A results table as wide as the terminal allows."""
    compact = console.out.width < _NARROW
    console.out.print(results_table(report, compact=compact))
    ceiling = ceiling_sentence(report)
    if ceiling:
        console.out.print(ceiling, markup=False, highlight=False)
    lists = lists_table(report, compact=compact)
    if lists is not None:
        console.out.print()
        console.out.print(lists)


def show_evaluation(evaluated: Evaluated) -> None:
    """The results table, the same where targets are rare, free generation if it has a table of its own, known leaks."""
    show_table(evaluated.report)
    show_rare_targets(evaluated.report)
    if evaluated.generation is not None:
        show_table(evaluated.generation)
    show_known_leaks(evaluated.report)


def show_rare_targets(report: EvaluationReport) -> None:
    """HR@1 by how often the target occurs in training, unless all targets are in one bucket."""
    for sliced in report.slices:
        if sliced.slicing == TARGET_COUNT and len(sliced.slices) > 1:
            console.out.print()
            console.out.print(slice_table(sliced, baseline=report.baseline, compact=console.out.width < _NARROW))


def show_known_leaks(report: EvaluationReport) -> None:
    """One line for each leak that was allowed."""
    for leak in report.known_leaks:
        console.out.print("[bold red]known leak in this data set[/]  ", end="")
        console.out.print(f"{leak.name}: {leak.message}", markup=False, highlight=False, soft_wrap=True)


def show_differences(model: str, differences: dict[str, PairedTest], *, cutoff: int) -> None:
    """One line for each other run: how much better this one is."""
    for other, test in differences.items():
        console.out.print(
            f"{model} - {other}: HR@{cutoff} {test.difference:+.3f} {format_interval(test.interval, signed=True)}, "
            f"p = {test.p_value:.4f}, {test.num_rows:,} rows: {test.verdict}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def show_recommendations(ranking: Ranking) -> None:
    """History and ranked items."""
    console.out.print("history, oldest first:")
    for item_id, title in ranking.history:
        console.out.print(f"  {item_id}  {title}", markup=False, highlight=False)
    table = Table(title="recommended next", title_justify="left")
    for name, justify in (
        ("#", "right"),
        ("item", "left"),
        ("title", "left"),
        ("score", "right"),
        ("retrieved as", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for entry in ranking.items:
        cells = (str(entry.rank), str(entry.item_id), entry.title, f"{entry.score:.3f}", f"#{entry.retrieval_rank}")
        table.add_row(*(Text(cell) for cell in cells))  # a title may look like rich's markup
    console.out.print(table)


def show_quickstart(outcome: Quickstart) -> None:
    """The comparison, free generation, and what to do next."""
    show_table(outcome.comparison)
    for report in outcome.generation.values():
        show_table(report)
    show_times(outcome.stages)
    run = outcome.hybrid.folder
    console.say(
        f"\nDone in {outcome.seconds:.0f} s. The readers are simulated: these numbers show that the parts work\n"
        "together, not how well real readers are served.\n\n"
        f"  report          {run / 'report.html'}\n"
        f"  try it          llara recommend {run} --user {outcome.hybrid.evaluated.task.user_ids[0]} -k 5\n"
        "  your own data   llara data import LOG.csv data/mine --items ITEMS.csv\n"
        "                  llara train configs/own-data.yaml --set data.folder=data/mine --set output=runs/mine"
    )
