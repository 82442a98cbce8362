"""`llara evaluate`: judge a finished run again, alone or beside other runs, on the same candidates."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llara.data import Dataset, Split, load_dataset, new_folder, split_dataset
from llara.errors import ConfigError, DataError
from llara.evaluate import (
    SCORERS,
    CatalogTask,
    Judged,
    LlaraScorer,
    PairedTest,
    Part,
    RankingTask,
    ScorerMaterial,
    TaskMaterial,
    judge,
    paired_test,
    task_named,
)
from llara.leakage import refuse_unknown_leaks
from llara.model import Llara, ScorerName
from llara.run.arguments import require_known_evaluation
from llara.run.choices import HEADS, trained_scorer
from llara.run.config import RunConfig
from llara.run.evaluation import Evaluated, evaluate_run
from llara.run.events import Listener, ignore
from llara.run.folder import fingerprint_data, read_config, read_manifest
from llara.run.leaks import accept_data
from llara.run.names import distinct_names
from llara.run.reporting import save_evaluation

EVALUATION_MARKER = ".llara-evaluation"
"""In every folder that `llara evaluate` makes; evaluation.json lies in runs as well, which nothing may replace."""


@dataclass(frozen=True)
class OpenedRun:
    """A finished run with its data."""

    folder: Path
    config: RunConfig
    dataset: Dataset
    split: Split

    def load_model(self) -> Llara:
        """Its model, on the GPU if there is one.

        Raises:
            CheckpointError: If the run is incomplete or damaged.
        """
        return Llara.from_pretrained(self.folder)


@dataclass(frozen=True)
class Reevaluated:
    """A run judged again.

    Attributes:
        folder: Where the results are.
        evaluated: What was found.
        model: The run's own model, as scored by what was trained.
        differences: HR@cutoff of `model` minus that of each other run, by name, paired over the same rows.
    """

    folder: Path
    evaluated: Evaluated
    model: str
    differences: dict[str, PairedTest]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        generation = self.evaluated.generation
        return {
            "evaluation": self.evaluated.report.summary(),
            "output": str(self.folder),
            "generation": generation.summary() if generation is not None else None,
            "model": self.model,
            "differences": {name: asdict(test) for name, test in self.differences.items()},
        }


def open_finished(run: Path, data: Path | None) -> OpenedRun:
    """Read a run's settings and the data it was trained on; its model is loaded when it is asked for.

    Raises:
        CheckpointError: If the run is incomplete.
        DataError: If the data is not what the run was trained on.
    """
    config = read_config(run)
    folder = str(data) if data is not None else config.data.folder
    dataset = load_dataset(folder, seed=config.data.seed)
    trained_on = read_manifest(run)["data"]
    if fingerprint_data(dataset) != [
        trained_on[name] for name in ("interactions_sha256", "items_sha256", "rows_sha256")
    ]:
        raise DataError(
            f"{folder} is not the data that {run} was trained on (its sha256 differ from manifest.json). "
            "Give the right dataset folder with --data."
        )
    return OpenedRun(run, config, dataset, split_dataset(dataset, config.data.split))


def reevaluate(
    run: Path,
    *,
    part: str,
    task: str = "sequential",
    rows: str,
    scorer: str,
    draws: int | None,
    against: Sequence[Path],
    data: Path | None,
    output: Path | None,
    force: bool,
    allow_leaks: Sequence[str] = (),
    listener: Listener = ignore,
) -> Reevaluated:
    """Evaluate a run into a folder of its own; the run itself is not changed.

    Raises:
        ConfigError: If an option is unknown or the output exists.
        DataError: If runs were not trained on the same data, or it leaks in a way that is not allowed.
    """
    require_known_evaluation(task=task, part=part, rows=rows, scorer=scorer, draws=draws)
    chosen: Part = "test" if part == "test" else "validation"
    refuse_unknown_leaks(allow_leaks, where="--allow-leak")
    beside = dict(zip(distinct_names([run, *against])[1:], against, strict=True))
    opened = open_finished(run, data)
    scorers = _scorers(opened, scorer)
    asked = _rows(opened, task, chosen, draws, dense=rows == "dense")
    if isinstance(asked, CatalogTask):
        scorers = _scorers_of_catalog(opened, scorers, draws=draws)
    leakage = accept_data(opened.config, opened.dataset, opened.split, asked, also_allowed=allow_leaks)
    others = {name: _comparable(other, asked, data=data, dense=rows == "dense") for name, other in beside.items()}
    if isinstance(asked, CatalogTask):
        for other in others.values():
            _scorers_of_catalog(other, None, draws=None)
    folder = output or run / "evaluations" / _folder_name(task, part, rows)
    with new_folder(folder, force=force, marker=EVALUATION_MARKER) as partial:
        llara = opened.load_model()
        judged = [_judge_other(name, other, asked) for name, other in others.items()]
        evaluated = evaluate_run(
            llara, opened.split, asked, config=opened.config, scorers=scorers, others=judged, leakage=leakage,
            listener=listener,
        )  # fmt: skip
        save_evaluation(
            partial, evaluated, config=opened.config, dataset=opened.dataset, split=opened.split, metrics_folder=run
        )
    material = ScorerMaterial(llara, opened.split, opened.config.evaluate.batch_size)
    own = llara.default_scorer
    model = SCORERS[own if scorers is None or own in scorers else scorers[0]](material).name
    return Reevaluated(
        folder, evaluated, model, _differences(evaluated, model, [entry.result.name for entry in judged])
    )


def _differences(evaluated: Evaluated, model: str, others: Sequence[str]) -> dict[str, PairedTest]:
    ours = evaluated.report.result(model)
    level = evaluated.report.level
    return {
        name: paired_test(ours.row_hits(), evaluated.report.result(name).row_hits(), level=level, users=ours.users)
        for name in others
    }


def _folder_name(task: str, part: str, rows: str) -> str:
    """What tells an evaluation from others of the run: the part, and what is not the protocol's."""
    return "-".join([*([] if task == "sequential" else [task]), part, *([] if rows == "last" else [rows])])


def _rows(opened: OpenedRun, name: str, part: Part, draws: int | None, *, dense: bool) -> RankingTask:
    config = opened.config
    material = TaskMaterial(opened.dataset, opened.split, config.data.split, config.data.candidates)
    task = task_named(name)
    rows = task.rows(
        material, part, draws=draws or config.data.candidates.draws, dense=dense, limit=config.evaluate.rows_limit
    )
    return replace(rows, task=task.name)


def _scorers(opened: OpenedRun, scorer: str) -> list[str] | None:
    if scorer == "all":
        return None
    if scorer == "auto":
        return [trained_scorer(opened.config)]
    train = opened.config.train
    if scorer in HEADS and scorer not in train.trains:
        names = " and ".join(f"'{stage.objective.name}'" for stage in train.in_stages())
        raise ConfigError(
            f"--scorer {scorer} needs a trained {scorer} head; this run's train.objective.name is "
            f"{names}. Use --scorer {train.trains[0]}, or train with an objective "
            f"that trains the head, such as {scorer}."
        )
    return [scorer]


def _scorers_of_catalog(opened: OpenedRun, scorers: Sequence[str] | None, *, draws: int | None) -> list[str]:
    """Those that can rank a whole catalog; the others are refused before anything is scored."""
    if draws is not None:
        raise ConfigError("--draws counts draws of candidates, and this task ranks the whole catalog. Leave it out.")
    asked = list(opened.config.train.trains if scorers is None else scorers)
    able = [name for name in asked if name not in ("answer", "listwise")]
    if not able or (scorers is not None and len(able) < len(asked)):
        raise ConfigError(
            f"scorer {asked[0]} ranks the candidates of a prompt, which cannot show a whole catalog. Train with "
            "train.objective.name=sequence, or use --scorer recommender."
        )
    return able


def _comparable(run: Path, task: RankingTask, *, data: Path | None, dense: bool) -> OpenedRun:
    """Another run, refused unless its candidates are the same item by item; before anything is scored."""
    opened = open_finished(run, data)
    theirs = _rows(opened, task.task, task.part, len(task.draws) or None, dense=dense)
    if theirs.hashes != task.hashes or list(theirs.item_ids) != list(task.item_ids):
        raise DataError(
            f"{run} was trained with other candidates, split or item permutation, so its numbers do not compare. "
            "Train it with the same `data` settings."
        )
    return opened


def _judge_other(name: str, opened: OpenedRun, task: RankingTask) -> Judged:
    """The other run's ranking, by what it was trained for; its model is freed afterwards."""
    llara = opened.load_model()
    scorer: ScorerName = "sequence" if isinstance(task, CatalogTask) else llara.default_scorer
    own = LlaraScorer(llara, scorer, batch_size=opened.config.evaluate.batch_size)
    return judge(own, task, name=f"{own.name}, {name}")
