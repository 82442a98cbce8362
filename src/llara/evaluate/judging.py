"""Judging: models rank the same frozen candidates, and are counted by the rank of each target."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax

from llara.data import CandidateSet, Examples, Sequences
from llara.errors import ConfigError, DataError
from llara.evaluate.catalog import rank_in_whole_catalog
from llara.evaluate.metrics import FloatArray
from llara.evaluate.model_result import ModelResult
from llara.evaluate.predictions import Predictions, predictions_from_choices, predictions_from_scores
from llara.evaluate.results import EvaluationReport, compare_results
from llara.evaluate.scorers import LlaraScorer, check_scores, is_only_the_recommender, scores_catalog
from llara.evaluate.slices import behavior_of
from llara.evaluate.task import CatalogTask, RankingTask
from llara.model import Llara, ScorerName, chosen_columns, generate_answers
from llara.model.weighing import by_itself, has_learned
from llara.recommender import Progress, Recommender, RecommenderScorer, Scorer

_ROWS_AT_ONCE = 512
"""Rows whose prompts, of all draws, are held in memory."""


@dataclass(frozen=True)
class Judged:
    """One model's result, and what it predicted row by row."""

    result: ModelResult
    predictions: Predictions


def evaluate_model(
    llara: Llara,
    examples: Examples,
    candidates: Sequence[CandidateSet],
    *,
    scorer: ScorerName | None = None,
    baseline: Recommender | None = None,
    train_sequences: Sequences | None = None,
    batch_size: int = 16,
) -> EvaluationReport:
    """Rank candidate sets with LLaRA, and with a recommender beside it.

    Args:
        llara: Trained model.
        examples: Histories and targets, [N], in the item indices of the model's catalog.
        candidates: Frozen sets of those rows, one per draw, each [N, C]; see `llara.data.draw_candidates`.
        scorer: How LLaRA scores; None: what it was trained for.
        baseline: Judged on the same candidates; the report tests LLaRA against it.
        train_sequences: What was learned from; the report then also says how rare targets are ranked.
        batch_size: Prompts per forward pass.

    Raises:
        DataError: If there is no row or no draw, or a draw has another number of rows than `examples`.
    """
    if len(examples) == 0 or not candidates:
        raise DataError(f"expected rows and candidate draws, found {len(examples)} rows and {len(candidates)} draws.")
    for number, draw in enumerate(candidates):
        if len(draw) != len(examples):
            raise DataError(
                f"candidate draw {number} has {len(draw)} rows, the examples have {len(examples)}. "
                "Draw the candidates from these examples."
            )
    task = RankingTask("test", examples, tuple(candidates), examples.user_index.tolist(), llara.catalog.item_ids)
    judged = [judge(LlaraScorer(llara, scorer or llara.default_scorer, batch_size=batch_size), task)]
    if baseline is not None:
        judged.insert(0, judge(RecommenderScorer(baseline), task))
    return compare_results(
        [entry.result for entry in judged],
        baseline=baseline.name if baseline is not None else None,
        sliced_by=behavior_of(examples, train_sequences),
    )


def judge(scorer: Scorer, task: RankingTask, *, name: str | None = None, on_progress: Progress | None = None) -> Judged:
    """Rank every draw's candidates, or the whole catalog, with any scorer.

    Args:
        scorer: Who scores.
        task: Rows and their frozen candidates.
        name: As in tables; None: the scorer's own.
        on_progress: Told how many rows were just finished; `task.num_rankings` in all.

    Raises:
        ConfigError: If the scorer does not give one score per candidate, or cannot score the whole catalog.
    """
    if isinstance(task, CatalogTask):
        if not scores_catalog(scorer):
            raise ConfigError(
                f"'{scorer.name}' ranks given candidates, not a whole catalog. Use --scorer sequence of a run that was "
                "trained for it, or a task with candidates."
            )
        return Judged(*rank_in_whole_catalog(scorer, task, name=name or scorer.name, on_progress=on_progress))
    started = time.perf_counter()
    scores = score_draws(scorer, task, on_progress=on_progress)
    return _judged(name or scorer.name, scores, task, time.perf_counter() - started)


def judge_without_recommender(
    whole: Judged, llara: Llara, way: ScorerName, task: RankingTask, *, batch_size: int = 16
) -> Judged | None:
    """What a head ranks by itself: its score with the recommender's part taken out again.

    Candidates need no other pass for it; a silent head does, and a whole catalog, of which no scores are kept.

    Args:
        whole: How the head and the recommender ranked together.
        llara: Whose they are.
        way: Which head, listwise or sequence.
        task: The rows of `whole`.
        batch_size: Histories per pass.

    Returns:
        None where there is no such part, or nothing else: a score without prior, or a head without weights.
    """
    scores = whole.predictions.scores
    has_prior = llara.config.recommender_prior and llara.uses_behavior
    if scores is None or not has_prior or not has_learned(llara, way):
        return None
    name = f"hybrid LLaRA ({way} without {llara.recommender.name})"
    if isinstance(task, CatalogTask) or is_only_the_recommender(llara, way):
        with by_itself(llara, way):
            return judge(LlaraScorer(llara, way, batch_size=batch_size), task, name=name)
    started = time.perf_counter()
    weight = float(llara.prior_weight_of(way).detach())
    recommender = score_draws(RecommenderScorer(llara.recommender), task)
    if way == "listwise":
        recommender = log_softmax(recommender, axis=2)
    seconds = whole.result.seconds + time.perf_counter() - started
    return _judged(name, scores - weight * recommender, task, seconds)


def score_draws(scorer: Scorer, task: RankingTask, *, on_progress: Progress | None = None) -> FloatArray:
    """Scores of all draws, [draws, N, C]: those of a history in one call, so that its beginning can be read once."""
    history, candidates = task.examples.history, task.candidate_items
    scores = np.empty(candidates.shape)
    for first in range(0, len(history), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        some = candidates[:, rows]
        asked = some.reshape(-1, candidates.shape[2])
        found = scorer.score(np.tile(history[rows], (len(task.draws), 1)), asked, on_progress=on_progress)
        scores[:, rows] = check_scores(scorer, found, asked).reshape(some.shape)
    return scores


def judge_generation(
    name: str, llara: Llara, task: RankingTask, *, batch_size: int, on_progress: Progress | None = None
) -> Judged:
    """Let LLaRA write its answers; each counts by the one candidate that it names."""
    started = time.perf_counter()
    histories = task.examples.histories()
    texts: list[list[str]] = []
    chosen = np.zeros((len(task.draws), len(histories)), dtype=np.int64)
    for number, draw in enumerate(task.draws):
        items = draw.items.tolist()
        answers = generate_answers(
            llara, histories, items, hybrid=llara.uses_behavior, batch_size=batch_size, on_progress=on_progress
        )
        columns = chosen_columns(llara, answers, items)
        chosen[number] = [0 if column is None else items[row][column] for row, column in enumerate(columns)]
        texts.append(answers)
    result = ModelResult.from_choices(
        name,
        chosen,
        target=task.examples.target,
        num_candidates=task.candidate_items.shape[2],
        candidate_hashes=task.hashes,
        seconds=time.perf_counter() - started,
        users=task.users,
    )
    predictions = predictions_from_choices(
        chosen,
        answers=texts,
        candidates=task.candidate_items,
        target_column=task.target_columns,
        user_ids=np.array(task.user_ids),
        item_ids=np.array(task.item_ids),
    )
    return Judged(result, predictions)


def _judged(name: str, scores: FloatArray, task: RankingTask, seconds: float) -> Judged:
    result = ModelResult.from_scores(
        name,
        scores,
        target_column=task.target_columns,
        candidate_hashes=task.hashes,
        seconds=seconds,
        users=task.users,
    )
    if task.measure is not None:
        result = replace(result, measures=task.measure(scores, task))
    predictions = predictions_from_scores(
        scores,
        candidates=task.candidate_items,
        target_column=task.target_columns,
        user_ids=np.array(task.user_ids),
        item_ids=np.array(task.item_ids),
    )
    return Judged(result, predictions)
