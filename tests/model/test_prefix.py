"""Rows with one history: what they have in common is read once, and scores stay what they are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MambaForCausalLM

from llara.data import Catalog
from llara.model import Llara, score_candidates
from llara.model.backbone import causal_lm
from llara.model.sharing import rows_by_prefix
from llara.prompt import PromptConfig
from llara.recommender import SASRec
from tests.model.test_scoring import SHAPES

Build = Callable[..., Llara]
Stir = Callable[[Llara], Llara]
HISTORIES = [[3, 8, 20, 21, 22, 23], [1, 2, 3, 9, 13, 14, 15, 16]]
DRAWS = 9


def draws() -> tuple[list[list[int]], list[list[int]]]:
    """Both histories with nine draws of five candidates each, and a row with a history of its own."""
    rng = np.random.default_rng(0)
    histories = [history for history in HISTORIES for _ in range(DRAWS)]
    candidates = [rng.choice(np.arange(1, 25), 5, replace=False).tolist() for _ in histories]
    return [*histories, [11]], [*candidates, [1, 2, 4, 5, 6]]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Fills with the length of the prefix of each pass."""
    seen: list[int | None] = []
    forward = Llara.forward

    def watched(self: Llara, *args: object, **kwargs: object) -> object:
        prefix = kwargs.get("prefix")
        seen.append(None if prefix is None else prefix.length)  # type: ignore[attr-defined]
        return forward(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Llara, "forward", watched)
    return seen


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_shared_histories_score_as_rows_of_their_own(
    shape: str, scorer: str, build: Build, stir: Stir, passes: list[int | None]
) -> None:
    llara = stir(build(shape))
    histories, candidates = draws()
    found = score_candidates(llara, histories, candidates, scorer=scorer, batch_size=4)  # type: ignore[arg-type]
    shared = [length for length in passes if length is not None]
    looks_back_all_the_way = shape not in {"mistral", "gemma2", "gemma3"}
    assert len(shared) == (6 if looks_back_all_the_way else 0)  # two groups of nine rows, in passes of three
    expected = [
        score_candidates(llara, [history], [items], scorer=scorer)[0]  # type: ignore[arg-type]
        for history, items in zip(histories, candidates, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-6)
    assert np.ptp(found, axis=1).min() > 0.01


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("shape", ["llama", "nano"])
def test_with_a_prior_parts_and_other_representations(
    *,
    shape: str,
    hybrid: bool,
    build: Build,
    stir: Stir,
    passes: list[int | None],
    tiny_catalog: Catalog,
    sasrec: SASRec,
) -> None:
    plain = build(shape, prompt=PromptConfig(history="behavior", candidates="text")).config
    config = replace(plain, recommender_prior=True, part_vectors=True)
    llara = stir(Llara.from_backbone(config.backbone, sasrec, tiny_catalog, config=config))
    histories, candidates = draws()
    found = score_candidates(llara, histories, candidates, scorer="listwise", hybrid=hybrid)
    assert any(length is not None for length in passes)
    expected = [
        score_candidates(llara, [history], [items], scorer="listwise", hybrid=hybrid)[0]
        for history, items in zip(histories, candidates, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-6)


def test_bfloat16_differs_by_rounding_alone(build: Build, stir: Stir) -> None:
    llara = stir(build("llama"))
    histories, candidates = draws()
    exact = score_candidates(llara, histories, candidates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = score_candidates(llara, histories, candidates)
        alone = np.array([score_candidates(llara, [h], [c])[0] for h, c in zip(histories, candidates, strict=True)])
    assert np.abs(found - exact).mean() < 1.5 * np.abs(alone - exact).mean() + 1e-3


def test_few_rows_or_short_beginnings_are_not_shared(build: Build) -> None:
    llara = build("llama")
    many, few = [[3, 8, 20]] * 8, [[9, 10, 11]] * 7
    prompts = [llara.encode_prompt(history, [1, 2]) for history in [*many, *few]]
    groups, others = rows_by_prefix(llara, prompts)
    assert [rows for _, rows in groups] == [list(range(8))]
    assert others == list(range(8, 15))
    short = [llara.encode_prompt([3], list(range(1, 25))) for _ in many]
    start = short[0].first_of_candidates
    groups, others = rows_by_prefix(llara, short)
    assert (not groups) == (start * 7 < 0.1 * 8 * len(short[0].token_ids))


def test_recurrent_backbones_share_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    llara = build("llama")
    prompts = [llara.encode_prompt([3, 8, 20], [1, 2])] * 9
    assert len(rows_by_prefix(llara, prompts)[0]) == 1
    assert MambaForCausalLM._is_stateful  # what transformers says of models that keep a state
    monkeypatch.setattr(type(causal_lm(llara.model)), "_is_stateful", True)
    assert rows_by_prefix(llara, prompts) == ([], list(range(9)))


def test_a_prompt_parts_into_its_beginning_and_its_candidates(build: Build) -> None:
    llara = build("llama")
    prompt = llara.encode_prompt([3, 8], [1, 2, 4])
    place = prompt.first_of_candidates
    before, after = prompt.before(place), prompt.after(place)
    assert before.token_ids + after.token_ids == prompt.token_ids
    assert before.parts + after.parts == prompt.parts
    assert before.slot_items == [3, 8]
    assert after.slot_items == after.candidate_items == [1, 2, 4]
    assert before.slot_positions + [p + place for p in after.slot_positions] == prompt.slot_positions
    assert [p + place for p in after.candidate_positions] == prompt.candidate_positions
    assert before.candidate_items == before.candidate_positions == []
    assert after.history_items == prompt.history_items


def test_histories_that_read_alike_are_one_group_only_if_their_slots_hold_the_same_items(
    build: Build, stir: Stir
) -> None:
    """Items 4 and 5 are both called Dune, so that their prompts differ in the behavioral tokens alone."""
    llara = stir(build("llama"))
    histories = [[1, 2, 4]] * 8 + [[1, 2, 5]] * 8
    prompts = [llara.encode_prompt(history, [7, 8]) for history in histories]
    assert len({tuple(prompt.token_ids) for prompt in prompts}) == 1
    groups, others = rows_by_prefix(llara, prompts)
    assert [rows for _, rows in groups] == [list(range(8)), list(range(8, 16))]
    assert not others
    found = score_candidates(llara, histories, [[7, 8]] * 16, scorer="listwise")
    alone = score_candidates(llara, [[1, 2, 5]], [[7, 8]], scorer="listwise")
    np.testing.assert_allclose(found[8:], np.tile(alone, (8, 1)), atol=1e-4)
    assert np.abs(found[0] - found[8]).max() > 1e-3
