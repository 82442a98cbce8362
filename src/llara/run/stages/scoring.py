"""How long ranking rows takes: for the probes of training, calibration and evaluation."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from llara.evaluate import RankingTask
from llara.model import Llara, ScorerName, generate_answers, score_candidates
from llara.model.scoring import answer_limit
from llara.run.material import Material
from llara.run.stages.probing import GUESSED, Expected, expect

_PROBE_ROWS = 64
_FEW_TOKENS = 4
_TRIES = 3
"""A budget is worth a try if it holds this many of the smallest: the first one only makes room."""


def num_rankings(task: RankingTask) -> int:
    """How many lists are ranked: one for each row and draw."""
    return len(task.draws) * len(task.examples)


def expect_scoring(
    material: Material,
    llara: Llara,
    task: RankingTask,
    scorer: ScorerName,
    *,
    seconds: float,
    known: float | None = None,
) -> Expected:
    """Of all draws of a task.

    Args:
        material: With the batch size.
        llara: Asked as it is asked in a run.
        task: Its rows are tried.
        scorer: How they are ranked.
        seconds: Budget.
        known: Seconds of one row of one draw where this scorer was tried on other rows; taken instead of another try
            for which the budget is too small.
    """
    batch_size, draws = material.config.evaluate.batch_size, len(task.draws)

    def score(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return score_candidates(
            llara, histories, candidates, scorer=scorer, hybrid=llara.uses_behavior, batch_size=batch_size
        )

    rows = min(max(2, _PROBE_ROWS // draws), len(task.examples))
    return _expect_rows(score, task, rows, draws=draws, seconds=seconds, known=known)


def expect_generating(material: Material, llara: Llara, task: RankingTask, *, seconds: float) -> Expected:
    """Of one draw; a model that has learned nothing seldom ends an answer early, so this is rather too much."""
    batch_size = material.config.evaluate.batch_size

    def generate(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return generate_answers(llara, histories, candidates, hybrid=llara.uses_behavior, batch_size=batch_size)

    rows = min(batch_size, len(task.examples))
    started = time.perf_counter()
    one = _expect_answer(llara, task)
    if _TRIES * one > seconds:  # a whole answer would take too long
        return Expected(one * len(task.examples), GUESSED, 0)
    left = seconds - (time.perf_counter() - started)
    return _expect_rows(generate, task, rows, draws=1, seconds=left)


def _expect_answer(llara: Llara, task: RankingTask) -> float:
    """Seconds of one generated answer, from its first few tokens."""
    history, items = task.examples.histories()[0], task.draws[0].items[0].tolist()

    def write(tokens: int) -> float:
        started = time.perf_counter()
        generate_answers(llara, [history], [items], hybrid=llara.uses_behavior, max_new_tokens=tokens)
        return time.perf_counter() - started

    first, few = write(1), write(_FEW_TOKENS)
    per_token = max(0.0, few - first) / (_FEW_TOKENS - 1)
    return few + per_token * (answer_limit(llara, llara.encode_prompt(history, items)) - _FEW_TOKENS)


def _expect_rows(
    run: Callable[[list[list[int]], list[list[int]]], object],
    task: RankingTask,
    rows: int,
    *,
    draws: int,
    seconds: float,
    known: float | None = None,
) -> Expected:
    """All rows of a task; what some draws of a history share is computed once, as the run would."""
    histories = task.examples.histories()

    def once(lists: int) -> float:
        count, shown = max(1, lists // draws), min(lists, draws)  # all draws of a row before the next row
        places = ((np.arange(count) + 0.5) * len(histories) / count).astype(int)
        chosen = [histories[place] for place in places] * shown
        candidates = [items for draw in task.draws[:shown] for items in draw.items[places].tolist()]
        started = time.perf_counter()
        run(chosen, candidates)
        return (time.perf_counter() - started) * lists / (count * shown)

    if known is not None and _TRIES * known > seconds:
        return Expected(known * draws * len(histories), GUESSED, 0)
    found = expect(once, full=rows * draws, seconds=seconds)
    return replace(found, seconds=found.seconds * len(histories) / rows)
