"""Requests in many threads at once: every answer is the one that it gets alone."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from torch import nn

from llara.model import Llara, ScorerName, generate_answers, score_candidates
from llara.model.backbone import decoder
from llara.model.catalog_scores import FloatArray
from llara.serve import Engine

THREADS = 4
REQUESTS = [[101 + (3 * start + step) % 24 for step in range(1 + start % 5)] for start in range(60)]
Build = Callable[..., Llara]
Stir = Callable[[Llara], Llara]
Request = TypeVar("Request")
Answer = TypeVar("Answer")


@pytest.fixture(autouse=True)
def hurry() -> Iterator[None]:
    """Threads change places every few instructions instead of every five milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(answer: Callable[[Request], Answer], requests: Sequence[Request]) -> list[Answer]:
    """The answers to all requests, by four threads that take the next one as soon as they are free."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(answer, requests))


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("scorer", ["listwise", "answer"])
@pytest.mark.parametrize("shape", ["nano", "llama", "gemma3"])
def test_an_engine_ranks_in_many_threads_as_in_one(
    shape: str, scorer: ScorerName, fold: bool, build: Build, stir: Stir
) -> None:
    llara = stir(build(shape))
    llara.default_scorer = scorer
    with Engine(llara, history_length=4, fold=fold) as engine:

        def rank(history: Sequence[int]) -> object:
            return engine.recommend(history, k=5, num_retrieved=3 + len(history))

        together = at_once(rank, REQUESTS)
        alone = [rank(history) for history in REQUESTS]
    assert together == alone


@pytest.mark.parametrize("scorer", ["listwise", "answer"])
def test_calls_with_few_and_many_rows_do_not_see_one_another(scorer: ScorerName, build: Build, stir: Stir) -> None:
    llara = stir(build("llama", precision="bfloat16"))  # folding shows in every score
    calls = [[[1 + (call + 5 * row) % 24] for row in range(40 if call % 3 == 0 else 2)] for call in range(24)]

    def score(histories: Sequence[Sequence[int]]) -> FloatArray:
        return score_candidates(llara, histories, [[3, 1, 7]] * len(histories), scorer=scorer)

    together = at_once(score, calls)
    for found, histories in zip(together, calls, strict=True):
        np.testing.assert_array_equal(found, score(histories))


def test_a_model_fresh_from_training_is_in_evaluation_mode_for_every_thread(build: Build, stir: Stir) -> None:
    llara = stir(build("llama"))
    expected = score_candidates(llara, [[9, 24]], [[1, 2, 4]])
    llara.train()
    for found in at_once(lambda _: score_candidates(llara, [[9, 24]], [[1, 2, 4]]), range(THREADS)):
        np.testing.assert_array_equal(found, expected)


def test_answers_are_written_in_many_threads_as_in_one(build: Build, stir: Stir) -> None:
    llara = stir(build("nano"))
    histories = [[1 + row % 24, 1 + (row * 7) % 24] for row in range(16)]

    def write(history: Sequence[int]) -> list[str]:
        return generate_answers(llara, [history], [[2, 5, 8]], max_new_tokens=4)

    assert at_once(write, histories) == [write(history) for history in histories]


def test_backbones_that_rewrite_their_position_encoding_take_turns(tmp_path: Path, build: Build, stir: Stir) -> None:
    source = Path(build("llama").config.backbone.path)
    folder = shutil.copytree(source, tmp_path / "longrope")
    config = json.loads((folder / "config.json").read_text())
    scaling = {"long_factor": [3.0] * 4, "short_factor": [1.0] * 4, "original_max_position_embeddings": 100}
    config["rope_parameters"] = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 8.0, **scaling}
    (folder / "config.json").write_text(json.dumps(config))
    llara = stir(build(path=str(folder)))
    inside, most = [0], [0]

    def enter(*_: object) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)  # as long as another thread needs to get here

    def leave(*_: object) -> None:
        inside[0] -= 1

    rotary = decoder(llara.model).rotary_emb
    assert isinstance(rotary, nn.Module)
    rotary.register_forward_pre_hook(enter)
    rotary.register_forward_hook(leave)
    at_once(lambda _: score_candidates(llara, [[5, 9]], [[1, 2, 4]]), range(2 * THREADS))
    at_once(lambda _: generate_answers(llara, [[5, 9]], [[1, 2, 4]], max_new_tokens=2), range(THREADS))
    assert most == [1]
