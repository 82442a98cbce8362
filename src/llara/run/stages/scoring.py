"""How long ranking rows takes: for the probes of training, calibration and evaluation."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from llara.evaluate import RankingTask
from llara.model import Llara, ScorerName, generate_answers, score_candidates
from llara.run.material import Material
from llara.run.stages.probing import Expected, expect

_PROBE_ROWS = 64


def expect_scoring(
    material: Material, llara: Llara, task: RankingTask, scorer: ScorerName, *, seconds: float
) -> Expected:
    """Of all draws of a task."""
    batch_size, draws = material.config.evaluate.batch_size, len(task.draws)

    def score(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return score_candidates(
            llara, histories, candidates, scorer=scorer, hybrid=llara.uses_behavior, batch_size=batch_size
        )

    rows = min(max(2, _PROBE_ROWS // draws), len(task.examples))
    return _expect_rows(score, task, rows, draws=draws, seconds=seconds)


def expect_generating(material: Material, llara: Llara, task: RankingTask, *, seconds: float) -> Expected:
    """Of one draw; a model that has learned nothing seldom ends an answer early, so this is rather too much."""
    batch_size = material.config.evaluate.batch_size

    def generate(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return generate_answers(llara, histories, candidates, hybrid=llara.uses_behavior, batch_size=batch_size)

    return _expect_rows(generate, task, min(batch_size, len(task.examples)), draws=1, seconds=seconds)


def _expect_rows(
    run: Callable[[list[list[int]], list[list[int]]], object],
    task: RankingTask,
    rows: int,
    *,
    draws: int,
    seconds: float,
) -> Expected:
    """All rows of a task; what some draws of a history share is computed once, as the run would."""
    histories = task.examples.histories()

    def once(count: int) -> float:
        places = ((np.arange(count) + 0.5) * len(histories) / count).astype(int)
        chosen = [histories[place] for place in places] * draws
        candidates = [items for draw in task.draws[:draws] for items in draw.items[places].tolist()]
        started = time.perf_counter()
        run(chosen, candidates)
        return time.perf_counter() - started

    found = expect(once, full=rows, seconds=seconds)
    return replace(found, seconds=found.seconds * len(histories) / rows)
