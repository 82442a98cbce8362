"""How long ranking rows takes: for the probes of training, calibration and evaluation."""

import time
from collections.abc import Callable

import numpy as np

from llara.evaluate import RankingTask
from llara.model import Llara, ScorerName, generate_answers, score_candidates
from llara.run.material import Material

_PROBE_ROWS = 64


def seconds_to_score(material: Material, llara: Llara, task: RankingTask, scorer: ScorerName) -> float:
    """Of all draws of a task."""
    batch_size = material.config.evaluate.batch_size

    def score(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return score_candidates(
            llara, histories, candidates, scorer=scorer, hybrid=llara.uses_behavior, batch_size=batch_size
        )

    rows = max(2, _PROBE_ROWS // len(task.draws))
    return _seconds_per_row(score, task, rows, draws=len(task.draws)) * len(task.examples) * len(task.draws)


def seconds_to_generate(material: Material, llara: Llara, task: RankingTask) -> float:
    """Of one draw; a model that has learned nothing seldom ends an answer early, so this is rather too much."""
    batch_size = material.config.evaluate.batch_size

    def generate(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return generate_answers(llara, histories, candidates, hybrid=llara.uses_behavior, batch_size=batch_size)

    return _seconds_per_row(generate, task, batch_size) * len(task.examples)


def _seconds_per_row(
    run: Callable[[list[list[int]], list[list[int]]], object], task: RankingTask, rows: int, *, draws: int = 1
) -> float:
    """Of one draw; what some draws of a history share is computed once, as the run would."""
    histories = task.examples.histories()
    places = np.linspace(0, len(histories) - 1, min(rows, len(histories))).astype(int)
    chosen = [histories[place] for place in places] * draws
    candidates = [items for draw in task.draws[:draws] for items in draw.items[places].tolist()]
    run(chosen[:2], candidates[:2])
    started = time.perf_counter()
    run(chosen, candidates)
    return (time.perf_counter() - started) / len(chosen)
