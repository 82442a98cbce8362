"""Evaluating a run: every model on the same frozen candidates, predictions and report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llara.data import Dataset, Split, write_candidates
from llara.evaluate import (
    Choice,
    EvaluationReport,
    ExamplePrompt,
    Judged,
    RankingTask,
    ReportContent,
    compare_results,
    judge_generation,
    judge_llara,
    judge_recommender,
    model_name,
    save_figures,
    summary_sentence,
    write_predictions,
    write_report,
)
from llara.leakage import LeakageFinding
from llara.model import Llara, ScorerName
from llara.prompt import render_prompt
from llara.recommender import Popularity
from llara.run.config import RunConfig, config_to_dict
from llara.run.events import Listener, ignore, stage
from llara.run.folder import EVALUATION_FILE
from llara.run.names import file_stems
from llara.train import read_metrics

PREDICTIONS_FOLDER, CANDIDATES_FOLDER = "predictions", "candidates"


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        report: Models on the same candidates, scored.
        generation: Free generation on the first draws; None if none was asked, or if it covers all draws and so stands
            in `report`.
        judged: By model name, in table order.
        examples: Example prompts with each model's choice.
        task: Rows and candidates.
        leakage: One finding per leak check; those of level "leak" stand in `report` as well.
    """

    report: EvaluationReport
    generation: EvaluationReport | None
    judged: dict[str, Judged]
    examples: tuple[ExamplePrompt, ...]
    task: RankingTask
    leakage: tuple[LeakageFinding, ...] = ()


def evaluate_run(
    llara: Llara,
    split: Split,
    task: RankingTask,
    *,
    config: RunConfig,
    scorers: Sequence[ScorerName] | None = None,
    others: Sequence[Judged] = (),
    leakage: tuple[LeakageFinding, ...] = (),
    listener: Listener = ignore,
) -> Evaluated:
    """Judge popularity, the recommender, LLaRA by each scorer, and free generation.

    Args:
        llara: Trained model with its recommender.
        split: Its training part gives the popularity.
        task: Rows and frozen candidates.
        config: Draws of free generation, batch size, examples.
        scorers: How LLaRA scores; None: every way it was trained for, the default first, and free generation.
        others: Results of other runs on the same candidates, shown beside.
        leakage: What the leak checks found; results carry the leaks.
        listener: Told of progress.
    """
    popularity = Popularity.from_sequences(split.train_sequences, num_items=llara.catalog.num_items)
    judged = [
        judge_recommender("popularity", popularity, task),
        judge_recommender(llara.recommender.name, llara.recommender, task),
        *others,
    ]
    batch_size = config.evaluate.batch_size
    for scorer in scorers or trained_scorers(llara, config):
        name = model_name(llara, scorer)
        with stage(listener, f"ranking with {name}", len(task.draws) * len(task.examples)) as advance:
            judged.append(judge_llara(name, llara, task, scorer=scorer, batch_size=batch_size, on_progress=advance))
    written = _judge_generation(llara, task, config=config, listener=listener) if scorers is None else None
    together = written is not None and written.result.draws == len(task.draws)
    known = tuple(finding for finding in leakage if finding.level == "leak")
    generation = None
    if written is not None and not together:
        generation = replace(compare_results([written.result]), known_leaks=known)
    ranked = [*judged, written] if written is not None and together else judged
    compared = compare_results([entry.result for entry in ranked], baseline=llara.recommender.name)
    if written is not None:
        judged.append(written)
    by_name = {entry.result.name: entry for entry in judged}
    examples = example_prompts(llara, task, by_name, count=config.evaluate.examples)
    return Evaluated(replace(compared, known_leaks=known), generation, by_name, examples, task, leakage)


def _judge_generation(llara: Llara, task: RankingTask, *, config: RunConfig, listener: Listener) -> Judged | None:
    """Free generation on the first draws, if it was trained for and asked for."""
    if config.evaluate.generation_draws == 0 or "answer" not in config.train.objective.trains:
        return None
    few = task.first_draws(config.evaluate.generation_draws)
    name = model_name(llara, "free generation")
    with stage(listener, f"generating with {name}", len(few.draws) * len(few.examples)) as advance:
        return judge_generation(name, llara, few, batch_size=config.evaluate.batch_size, on_progress=advance)


def trained_scorers(llara: Llara, config: RunConfig) -> list[ScorerName]:
    """Every way of scoring that a run has trained, the default first."""
    return list(dict.fromkeys((llara.default_scorer, *config.train.objective.trains)))


def example_prompts(
    llara: Llara, task: RankingTask, judged: dict[str, Judged], *, count: int
) -> tuple[ExamplePrompt, ...]:
    """The first rows of the first draw as the model reads them, with every model's choice."""
    histories = task.examples.histories()
    titles, ids = llara.catalog.titles, task.item_ids
    index = {item_id: place for place, item_id in enumerate(ids)}
    shown = []
    for row in range(min(count, len(histories))):
        items = task.draws[0].items[row].tolist()
        prompt = llara.encoder.build(histories[row], items)
        target = int(task.examples.target[row])
        choices = {}
        for name, entry in judged.items():
            chosen = entry.predictions.chosen_ids[0][row]
            title = None if chosen is None else titles[index[chosen]]
            choices[name] = Choice(title=title, correct=chosen is not None and chosen == ids[target])
        shown.append(
            ExamplePrompt(
                user_id=task.user_ids[row],
                prompt_text=render_prompt(prompt, lambda item: llara.encoder.item_texts[item]),
                target_title=titles[target],
                candidates=[titles[item] for item in items],
                choices=choices,
                target_column=int(task.draws[0].target_column[row]),
            )
        )
    return tuple(shown)


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
    write_report(folder / "report.html", content)
    save_figures(folder / "figures", content)


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
        data_facts=data_facts(dataset, split),
        training_metrics=read_metrics(folder),
        examples=evaluated.examples,
        leakage=evaluated.leakage,
        notes=notes,
    )


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
