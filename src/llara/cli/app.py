"""Entry point and top-level commands. Heavy imports happen inside commands, so that `--help` is quick."""

import io
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llara.cli.backbone import backbone_app
from llara.cli.data import data_app
from llara.cli.limits import limit_kernel_caches
from llara.cli.options import AcceptLicense, Force, Json, Set
from llara.errors import LlaraError

if TYPE_CHECKING:
    from llara.run.pipeline import FinishedRun

app = typer.Typer(
    name="llara",
    help="LLM-based sequential recommendation on text plus behavior: train, evaluate and use LLaRA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(data_app)
app.add_typer(backbone_app)

_INTERRUPTED = 130  # typer exits with it on Ctrl-C


def main() -> None:
    """Run the command line; errors that the user can mend end with exit code 2 and one readable message."""
    limit_kernel_caches()
    _write_in_any_encoding()
    try:
        app()
    except LlaraError as error:
        _report_error(error)
        raise SystemExit(2) from None
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            sys.stderr.write("interrupted; nothing that was finished is lost. `llara train` continues with --resume.\n")
        raise


def _write_in_any_encoding() -> None:
    """Escape what an encoding lacks instead of failing: redirected output on Windows is cp1252, elsewhere ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _report_error(error: LlaraError) -> None:
    from llara.cli import console

    if "--json" in sys.argv:
        console.print_json({"error": {"type": type(error).__name__, "message": str(error)}})
    console.err.print(f"[bold red]{type(error).__name__}:[/] ", end="")
    console.err.print(str(error), markup=False, highlight=False, soft_wrap=True)


@app.command()
def quickstart(
    output: Annotated[Path, typer.Option(help="Folder for the sample data and the runs.")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="Seed of everything: readers, models, candidates.")] = 0,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A pretrained model in place of the small one made on the spot: smollm2-135m, which is fetched if it "
            "is not there, or whatever backbone.path takes. Up to 20 minutes."
        ),
    ] = None,
    overrides: Set = None,
    accept_license: AcceptLicense = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run the whole path on the bundled sample: minutes on two CPU cores, offline.

    Example: llara quickstart
    """
    from llara.cli import console
    from llara.cli.backbone import obtained
    from llara.cli.bars import showing_progress
    from llara.cli.showing import show_quickstart
    from llara.run.quickstart import run_quickstart

    console.setup_logging()
    path = None if backbone is None else obtained(backbone, accept_license=accept_license, ask=not json)
    with showing_progress() as listener:
        outcome = run_quickstart(
            output, seed=seed, backbone=path, force=force, overrides=overrides or [], listener=listener
        )
    if json:
        console.print_json(outcome.as_json())
        return
    show_quickstart(outcome)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see configs/ for commented ones.")],
    overrides: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run of the same output.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train the recommender, then LLaRA, then evaluate, into a run folder.

    Example: llara train configs/movielens-100k.yaml --set train.epochs=2
    """
    from llara.cli import console
    from llara.run.arguments import require_config_file

    require_config_file(config)
    from llara.cli.bars import showing_progress
    from llara.cli.showing import show_evaluation
    from llara.cli.times import show_times
    from llara.run import Run

    console.setup_logging()
    with showing_progress() as listener:
        run = Run.train(config, overrides=overrides or (), resume=resume, force=force, listener=listener)
    finished = run.finished
    assert finished is not None
    if json:
        console.print_json(_train_summary(finished))
        return
    show_evaluation(finished.evaluated)
    show_times({"this run": finished.seconds})
    console.say(f"\nrun folder  {finished.folder}\nreport      {finished.folder / 'report.html'}")


def _train_summary(finished: "FinishedRun") -> dict[str, Any]:
    generation = finished.evaluated.generation
    return {
        "run": str(finished.folder),
        "evaluation": finished.evaluated.report.summary(),
        "generation": generation.summary() if generation is not None else None,
        "best_step": finished.training.best_step,
        "best_validation_hit_ratio": finished.training.best_validation,
        **({"stages": [stage.as_json() for stage in finished.training.stages]} if finished.training.stages else {}),
        "seconds": finished.seconds,
    }


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="YAML file, as for `llara train`.")],
    overrides: Set = None,
    json: Json = False,
) -> None:
    """Expect memory and time of a run from a few probe steps, before anything is spent; writes nothing.

    Example: llara plan configs/movielens-100k.yaml --set train.epochs=2
    """
    from llara.cli import console
    from llara.run.arguments import require_config_file

    require_config_file(config)
    from llara.cli.planning import show_plan
    from llara.run.config import load_config
    from llara.run.plan import plan_run

    console.setup_logging()
    console.quiet_libraries()
    logging.getLogger("llara").setLevel(logging.WARNING)  # what the probes log is about the probes
    found = plan_run(load_config(config, overrides or []))
    if json:
        console.print_json(found.as_json())
        return
    show_plan(found)


@app.command()
def audit(
    run: Annotated[Path, typer.Argument(help="Run folder made by `llara train`.")],
    rows: Annotated[int, typer.Option(help="Test rows that are asked, evenly spread over all positions.")] = 300,
    draws: Annotated[int, typer.Option(help="Candidate draws of each row.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved since training.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where results go; default RUN/audit.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Find out what a model goes by: exchange, shuffle and leave out what it reads, and see how its answers change.

    Example: llara audit runs/movielens-100k
    """
    from llara.cli import console
    from llara.cli.bars import showing_progress
    from llara.run.arguments import require_run_folder
    from llara.run.audit import audit_finished
    from llara.run.audit.page import audit_table, popular_sentence

    require_run_folder(run)
    console.setup_logging()
    with showing_progress() as listener:
        found, folder = audit_finished(
            run, rows=rows, draws=draws, data=data, output=output, force=force, listener=listener
        )
    if json:
        console.print_json({"output": str(folder), **found.as_json()})
        return
    console.out.print(audit_table(found))
    console.out.print(popular_sentence(found), markup=False, highlight=False)
    console.out.print(f"page        {folder / 'audit.html'}", markup=False, highlight=False)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="YAML file that names a config and the options to vary.")],
    workers: Annotated[int | None, typer.Option(help="Runs at a time; default: one for each thread.")] = None,
    json: Json = False,
) -> None:
    """Train a run for every combination of options, then compare them on one page. The same command again goes on.

    Example: llara sweep configs/ablation-movielens.yaml
    """
    from llara.cli import console
    from llara.cli.bars import showing_progress
    from llara.errors import LlaraError
    from llara.run.sweep import compare_cells, read_sweep, run_sweep, save_page
    from llara.run.sweep.page import sweep_table

    console.setup_logging()
    found = read_sweep(file)
    with showing_progress() as listener:
        outcome = run_sweep(found, workers=workers, listener=listener)
    if outcome.failed:
        lines = [f"{run}: {why}" for run, why in outcome.failed.items()]
        raise LlaraError(
            f"{len(lines)} of {len(found.runs)} runs failed; the others are kept, and the same command tries these "
            f"again. {' '.join(lines)}"
        )
    results = compare_cells(found)
    save_page(found.output, results)
    if json:
        console.print_json({"output": str(found.output), **results.as_json()})
        return
    console.out.print(sweep_table(results))
    console.out.print(f"page        {found.output / 'sweep.html'}", markup=False, highlight=False)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder made by `llara train`.")],
    task: Annotated[
        str,
        typer.Option(help="sequential, pairwise, listwise, pointwise, full (the whole catalog), or one of yours."),
    ] = "sequential",
    part: Annotated[str | None, typer.Option(help="Held-out rows: test, unless given, or validation.")] = None,
    rows: Annotated[
        str, typer.Option(help="last: one row per user, the protocol's; dense: every position of those users.")
    ] = "last",
    scorer: Annotated[
        str,
        typer.Option(help="all: what was trained, and free generation; or auto, answer, listwise, one of yours."),
    ] = "all",
    draws: Annotated[int | None, typer.Option(help="Candidate draws; as in training unless given.")] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another run to show beside, judged on the same candidates; repeatable.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset folder, if it has moved since training.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where results go; default RUN/evaluations/PART.")] = None,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option(help="Evaluate although this leak check fails, such as item-order; repeatable."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Rank candidates with a trained run: metrics with intervals, predictions, report.

    Example: llara evaluate runs/movielens-100k --against runs/movielens-100k-text-only
    """
    from llara.cli import console
    from llara.run.arguments import chosen_task, require_known_evaluation, require_run_folder

    task, part = chosen_task(task, part)
    require_known_evaluation(task=task, part=part, rows=rows, scorer=scorer, draws=draws)
    for folder in (run, *(against or [])):
        require_run_folder(folder)
    from llara.cli.bars import showing_progress
    from llara.cli.showing import show_differences, show_evaluation
    from llara.run import Run

    console.setup_logging()
    with showing_progress() as listener:
        judged = Run.open(run).evaluate(
            task=task, part=part, rows=rows, scorer=scorer, draws=draws, against=against or (), data=data,
            output=output, force=force, allow_leaks=allow_leak or (), listener=listener,
        )  # fmt: skip
    if json:
        console.print_json(judged.as_json())
        return
    show_evaluation(judged.evaluated)
    show_differences(judged.model, judged.differences, cutoff=judged.evaluated.report.cutoff)
    console.say(f"\nreport  {judged.folder / 'report.html'}")


@app.command()
def recommend(
    run: Annotated[Path, typer.Argument(help="Run folder made by `llara train`.")],
    user: Annotated[str | None, typer.Option(help="A user of the training data.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids, oldest first, separated by commas.")] = None,
    k: Annotated[int, typer.Option("-k", help="Length of the list.", min=1)] = 10,
    retrieve: Annotated[int, typer.Option(help="Items that the recommender retrieves for LLaRA to rank.", min=1)] = 50,
    json: Json = False,
) -> None:
    """Recommend the next items for a known user or an unseen history.

    Example: llara recommend runs/movielens-100k --history "50,181,100" -k 10
    """
    from llara.cli import console
    from llara.run.arguments import require_one_history, require_run_folder

    require_one_history(user=user, history=history)
    require_run_folder(run)
    from llara.cli.showing import show_recommendations
    from llara.run import Run

    console.setup_logging()
    console.quiet_libraries()
    items = None if history is None else [item.strip() for item in history.split(",") if item.strip()]
    ranking = Run.open(run).recommend(user=user, history=items, k=k, num_retrieved=retrieve)
    if json:
        console.print_json(ranking.as_json())
        return
    show_recommendations(ranking)
