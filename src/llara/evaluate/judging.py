"""Judging: models rank the same frozen candidates, and are counted by the rank of each target."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llara.data import CandidateSet, Examples
from llara.errors import DataError
from llara.evaluate.metrics import FloatArray
from llara.evaluate.model_result import ModelResult
from llara.evaluate.predictions import Predictions, predictions_from_choices, predictions_from_scores
from llara.evaluate.results import EvaluationReport, compare_results
from llara.evaluate.task import RankingTask
from llara.model import Llara, ScorerName, chosen_columns, generate_answers, score_candidates
from llara.recommender import Recommender

Progress = Callable[[int], None]
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
    batch_size: int = 16,
) -> EvaluationReport:
    """Rank candidate sets with LLaRA, and with a recommender beside it.

    Args:
        llara: Trained model.
        examples: Histories and targets, [N], in the item indices of the model's catalog.
        candidates: Frozen sets of those rows, one per draw, each [N, C]; see `llara.data.draw_candidates`.
        scorer: How LLaRA scores; None: what it was trained for.
        baseline: Judged on the same candidates; the report tests LLaRA against it.
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
    chosen = scorer or llara.default_scorer
    judged = [judge_llara(model_name(llara, chosen), llara, task, scorer=chosen, batch_size=batch_size)]
    if baseline is not None:
        judged.insert(0, judge_recommender(baseline.name, baseline, task))
    return compare_results([entry.result for entry in judged], baseline=baseline.name if baseline is not None else None)


def model_name(llara: Llara, scorer: str) -> str:
    """How tables call a LLaRA: by prompt kind and way of scoring."""
    kind = "hybrid LLaRA" if llara.uses_behavior else "text-only LLaRA"
    return f"{kind} ({scorer})"


def judge_recommender(name: str, recommender: Recommender, task: RankingTask) -> Judged:
    """Rank every draw's candidates with a conventional recommender."""
    started = time.perf_counter()
    scores = recommended_scores(recommender, task).double().numpy()
    return _judged(name, scores, task, time.perf_counter() - started)


@torch.inference_mode()
def recommended_scores(recommender: Recommender, task: RankingTask) -> torch.Tensor:
    """The recommender's scores of all draws, on the CPU, [draws, N, C]."""
    history = torch.from_numpy(task.examples.history).to(recommender.device)
    draws = [recommender.score(history, torch.from_numpy(draw.items).to(recommender.device)) for draw in task.draws]
    return torch.stack(draws).cpu()


def score_draws(
    llara: Llara, task: RankingTask, *, scorer: ScorerName, batch_size: int, on_progress: Progress | None = None
) -> FloatArray:
    """LLaRA's scores of all draws, [draws, N, C]: those of a history together, which reads its beginning once."""
    histories, candidates = task.examples.histories(), task.candidate_items
    scores = np.empty(candidates.shape)
    for first in range(0, len(histories), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        some = candidates[:, rows]
        found = score_candidates(
            llara,
            histories[rows] * len(task.draws),
            some.reshape(-1, candidates.shape[2]).tolist(),
            scorer=scorer,
            hybrid=llara.uses_behavior,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        scores[:, rows] = found.reshape(some.shape)
    return scores


def judge_llara(
    name: str,
    llara: Llara,
    task: RankingTask,
    *,
    scorer: ScorerName,
    batch_size: int,
    on_progress: Progress | None = None,
) -> Judged:
    """Rank every draw's candidates with LLaRA, by answer likelihood or by the listwise head."""
    started = time.perf_counter()
    scores = score_draws(llara, task, scorer=scorer, batch_size=batch_size, on_progress=on_progress)
    return _judged(name, scores, task, time.perf_counter() - started)


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
    predictions = predictions_from_scores(
        scores,
        candidates=task.candidate_items,
        target_column=task.target_columns,
        user_ids=np.array(task.user_ids),
        item_ids=np.array(task.item_ids),
    )
    return Judged(result, predictions)
