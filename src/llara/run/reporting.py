"""What an evaluation leaves in a folder: numbers, candidates, predictions, figures, the report."""

from pathlib import Path
from typing import Any

from llara.data import Dataset, Split, write_candidates
from llara.evaluate import PriorWeights, ReportContent, summary_sentence, write_predictions, write_report
from llara.run.choices import HEADS
from llara.run.config import RunConfig, config_to_dict
from llara.run.evaluation import Evaluated
from llara.run.folder import CALIBRATION_FILE, EVALUATION_FILE
from llara.run.names import file_stems
from llara.train import read_metrics

PREDICTIONS_FOLDER, CANDIDATES_FOLDER = "predictions", "candidates"


def save_evaluation(
    folder: Path,
    evaluated: Evaluated,
    *,
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    metrics_folder: Path | None = None,
) -> None:
    """Write evaluation.json, predictions, candidates, figures and report.html into a folder.

    `metrics_folder` is where the training's metrics are, if not in `folder`.
    """
    evaluated.report.save(folder / EVALUATION_FILE)
    if evaluated.generation is not None:
        evaluated.generation.save(folder / "generation.json")
    for number, draw in enumerate(evaluated.task.draws):
        write_candidates(
            folder / CANDIDATES_FOLDER / f"{evaluated.task.part}-{number:02}.parquet",
            draw,
            examples=evaluated.task.examples,
            catalog=dataset.catalog,
        )
    (folder / PREDICTIONS_FOLDER).mkdir(exist_ok=True)
    for name, stem in file_stems(list(evaluated.judged)).items():
        write_predictions(folder / PREDICTIONS_FOLDER / f"{stem}.parquet", evaluated.judged[name].predictions)
    content = report_content(metrics_folder or folder, evaluated, config=config, dataset=dataset, split=split)
    _save_report(folder, content)


def _save_report(folder: Path, content: ReportContent) -> None:
    from llara.evaluate.figures import report_figures, save_figures  # noqa: PLC0415  (slow to import)

    figures = report_figures(content)
    write_report(folder / "report.html", content, figures=figures)
    save_figures(folder / "figures", figures)


def report_content(
    folder: Path, evaluated: Evaluated, *, config: RunConfig, dataset: Dataset, split: Split
) -> ReportContent:
    """Everything that report.html shows."""
    notes = [
        "All models ranked the same candidates; negatives are drawn once per draw and row.",
        "Draws of candidates are averaged within a user; intervals are over users.",
    ]
    if evaluated.generation is not None:
        result = evaluated.generation.results[0]
        notes.append(
            f"Free generation on {result.draws} draw(s): {result.hits} of {result.total} answers right "
            f"(HR@1 {result.hr(1):.3f}), ValidRatio {result.valid_ratio:.3f}."
        )
    if "simulated" in str(dataset.info.origin.get("interactions", "")):
        notes.append("The readers of this data set are simulated: its numbers say nothing about real readers.")
    return ReportContent(
        title=f"LLaRA on {dataset.info.name}",
        summary=summary_sentence(evaluated.report),
        evaluation=evaluated.report,
        settings=config_to_dict(config),
        data_facts=data_facts(dataset, split) | _rows_judged(evaluated),
        training_metrics=read_metrics(folder),
        examples=evaluated.examples,
        leakage=evaluated.leakage,
        weighing=_weighing(folder, evaluated),
        notes=notes,
    )


def _weighing(folder: Path, evaluated: Evaluated) -> str:
    """What the weights of model and recommender mean, where a run has fitted any and scores with them are shown."""
    path, recommender = folder / CALIBRATION_FILE, evaluated.report.baseline
    heads = tuple(f"hybrid LLaRA ({way}" for way in HEADS)
    if recommender is None or not any(name.startswith(heads) for name in evaluated.judged) or not path.is_file():
        return ""
    return PriorWeights.load(path).in_words(recommender)


def data_facts(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Counts of the data and its split."""
    return {
        "data set": dataset.info.name,
        "users": dataset.info.num_users,
        "items": dataset.info.num_items,
        "interactions": dataset.info.num_interactions,
        "split": split.name,
        "training rows": len(split.train),
        "validation rows": len(split.validation),
        "test rows": len(split.test),
        "interactions sha256": dataset.info.interactions_sha256,
    }


def _rows_judged(evaluated: Evaluated) -> dict[str, Any]:
    """What the table's rows are, where they are not one row of each user."""
    users = evaluated.report.results[0].num_users
    if users == evaluated.report.rows:
        return {}
    return {"rows judged here": f"{evaluated.report.rows:,}: several moments of each of {users:,} users"}
