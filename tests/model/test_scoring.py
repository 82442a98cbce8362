"""Scores: exact answer likelihood by tree, the listwise head, and free generation."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from llara.errors import CheckpointError, PromptError
from llara.model import Llara, chosen_columns, generate_answers, score_candidates
from llara.model.backbone import causal_lm, input_embeddings
from llara.model.scoring import decode_answer
from llara.prompt import PromptConfig, collate, collate_tree

Build = Callable[..., Llara]
Stir = Callable[[Llara], Llara]
SHAPES = ["nano", "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3", "granite", "cohere", "gpt2"]
HISTORIES = [[3, 8, 20], [1, 2, 3, 9, 13, 14, 15, 16], [11]]
# Alien, Aliens, Alien 3 begin with each other's tokens; two Dunes are the same text; lengths differ.
CANDIDATES = [[1, 2, 3, 9, 4], [5, 4, 19, 2, 1], [24, 9, 10, 11, 7]]


@torch.inference_mode()
def one_by_one(llara: Llara, history: list[int], candidates: list[int], *, hybrid: bool = True) -> list[float]:
    """The reference: one plain forward pass of the whole language model per candidate, prompt and answer in a row."""
    llara.eval()
    prompt = llara.encode_prompt(history, candidates)
    lm = causal_lm(llara.model)
    scores = []
    for item in candidates:
        answer = list(llara.encoder.answer_tokens(item))
        embedded = input_embeddings(lm)(torch.tensor([prompt.token_ids + answer]))
        for position, slot in zip(prompt.slot_positions, prompt.slot_items, strict=True):
            vector = llara.projector(llara.item_table[slot]) if hybrid else llara.placeholder
            embedded[0, position] = vector
        log_probs = lm(inputs_embeds=embedded, use_cache=False).logits[0].float().log_softmax(-1)
        start = len(prompt.token_ids)
        scores.append(sum(float(log_probs[start + place - 1, token]) for place, token in enumerate(answer)))
    return scores


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_equals_one_forward_pass_per_candidate(shape: str, build: Build, stir: Stir) -> None:
    llara = stir(build(shape))
    found = score_candidates(llara, HISTORIES, CANDIDATES, batch_size=3)
    expected = [one_by_one(llara, h, c) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    assert np.ptp(found, axis=1).min() > 0.1  # not equal because everything is


@pytest.mark.parametrize("config", [PromptConfig(history="text", candidates="text"), PromptConfig(candidates="index")])
def test_the_tree_is_exact_for_other_representations_and_text_only_rows(
    config: PromptConfig, build: Build, stir: Stir
) -> None:
    llara = stir(build("llama", prompt=config))
    found = score_candidates(llara, HISTORIES, CANDIDATES, hybrid=False)
    expected = [one_by_one(llara, h, c, hybrid=False) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_a_candidate_that_begins_another_has_its_own_score(build: Build, stir: Stir) -> None:
    llara = stir(build())
    alien, aliens, dune, dune_again = score_candidates(llara, [[9]], [[1, 2, 4, 5]])[0]
    assert alien != aliens
    # The same text in two branches is the same answer.
    assert dune == pytest.approx(dune_again, abs=1e-5)


def test_the_order_of_the_branches_does_not_matter(build: Build, stir: Stir) -> None:
    llara = stir(build("mistral")).eval()
    prompt = llara.encode_prompt(HISTORIES[1], CANDIDATES[1])
    order = [3, 0, 4, 1, 2]
    sums = []
    for columns in (range(5), order):
        answers = [[llara.encoder.answer_tokens(CANDIDATES[1][column]) for column in columns]]
        batch = collate_tree([prompt], answers, hybrid=[True], filler=llara.encoder.filler)
        with torch.inference_mode():
            log_probs = llara(batch, listwise=False).answer_log_probs
        sums.append(torch.zeros(5).index_add(0, batch.path_columns, log_probs[batch.path_tokens]))
    torch.testing.assert_close(sums[1], sums[0][order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
@pytest.mark.parametrize("shape", ["nano", "mistral", "gemma3", "gpt2"])
def test_batches_score_as_single_rows(shape: str, scorer: str, build: Build, stir: Stir) -> None:
    llara = stir(build(shape))
    whole = score_candidates(llara, HISTORIES, CANDIDATES, scorer=scorer, batch_size=4)  # type: ignore[arg-type]
    single = score_candidates(llara, HISTORIES, CANDIDATES, scorer=scorer, batch_size=1)  # type: ignore[arg-type]
    # Answers that cost 100 nats are known to the last place of float32 but one: 1.5e-5.
    np.testing.assert_allclose(whole, single, atol=1e-5, rtol=2 * float(np.finfo(np.float32).eps))
    assert np.isfinite(whole).all()


def test_listwise_scores_read_each_candidates_last_prompt_position(build: Build, stir: Stir) -> None:
    llara = stir(build("llama"))
    found = score_candidates(llara, HISTORIES[:1], CANDIDATES[:1], scorer="listwise")[0]
    prompt = llara.encode_prompt(HISTORIES[0], CANDIDATES[0])
    embedded = input_embeddings(llara.model)(torch.tensor([prompt.token_ids])).detach().clone()
    embedded[0, prompt.slot_positions] = llara.projector(llara.item_table[prompt.slot_items])
    hidden = causal_lm(llara.model)(inputs_embeds=embedded, output_hidden_states=True).hidden_states[-1][0]
    expected = [float((hidden[place] @ llara.head.weight[0]).detach()) for place in prompt.candidate_positions]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_progress_counts_every_row(build: Build) -> None:
    seen: list[int] = []
    score_candidates(build(), HISTORIES, CANDIDATES, batch_size=2, on_progress=seen.append)
    assert seen == [2, 1]
    seen.clear()
    generate_answers(build(), HISTORIES, CANDIDATES, batch_size=2, max_new_tokens=1, on_progress=seen.append)
    assert seen == [2, 1]


def test_no_rows_give_no_scores(build: Build) -> None:
    assert score_candidates(build(), [], []).shape == (0, 0)


def test_bfloat16_scores_are_near_the_exact_ones(build: Build, stir: Stir) -> None:
    exact = score_candidates(stir(build()), HISTORIES, CANDIDATES)
    rough = score_candidates(stir(build(precision="bfloat16")), HISTORIES, CANDIDATES)
    np.testing.assert_allclose(rough, exact, rtol=0.05)
    assert not np.array_equal(rough, exact)


def test_a_prompt_longer_than_the_backbone_is_refused(build: Build) -> None:
    llara = build("gpt2")
    with pytest.raises(
        PromptError, match=r"takes \d+ positions, the backbone has 1024. Lower data.split.history_length"
    ):
        score_candidates(llara, [[9] * 200], [[1, 2]])
    with pytest.raises(PromptError, match="the backbone has 1024"):
        generate_answers(llara, [[1]], [[1, 2]], max_new_tokens=2000)


def test_layers_that_cannot_read_a_tree_are_refused(build: Build) -> None:
    llara = build("qwen2")
    causal_lm(llara.model).config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(CheckpointError, match=r"layers of kind linear_attention.*Score with `listwise`"):
        score_candidates(llara, HISTORIES, CANDIDATES)


@torch.inference_mode()
def greedy(llara: Llara, history: list[int], candidates: list[int], *, limit: int) -> list[int]:
    """The reference: one row, no padding, no cache, the whole text anew for each token."""
    prompt = llara.encode_prompt(history, candidates)
    lm = causal_lm(llara.model)
    words = input_embeddings(lm)
    embedded = words(torch.tensor([prompt.token_ids]))
    embedded[0, prompt.slot_positions] = llara.projector(llara.item_table[prompt.slot_items])
    written: list[int] = []
    while len(written) < limit:
        token = int(lm(inputs_embeds=embedded, use_cache=False).logits[0, -1].argmax())
        written.append(token)
        if token == llara.encoder.frame.end:
            break
        embedded = torch.cat([embedded, words(torch.tensor([[token]]))], dim=1)
    return written


@pytest.mark.parametrize("shape", ["nano", "qwen2", "mistral", "gemma2", "gemma3", "gpt2"])
def test_left_padded_generation_equals_an_unpadded_greedy_loop(shape: str, build: Build, stir: Stir) -> None:
    llara = stir(build(shape)).eval()
    found = generate_answers(llara, HISTORIES, CANDIDATES, max_new_tokens=6, batch_size=3)
    expected = [decode_answer(llara, greedy(llara, h, c, limit=6)) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    assert found == expected
    assert generate_answers(llara, HISTORIES, CANDIDATES, max_new_tokens=6, batch_size=1) == expected


def test_an_answer_does_not_depend_on_the_other_rows(build: Build, stir: Stir) -> None:
    # Row 0 may write few tokens, row 1 many; batched with it, row 0 must still stop at its own limit.
    llara = stir(build("llama"))
    histories, candidates = [[1, 2], [3]], [[24, 12], [9, 19]]
    together = generate_answers(llara, histories, candidates, batch_size=2)
    assert together == [generate_answers(llara, [h], [c])[0] for h, c in zip(histories, candidates, strict=True)]


def test_sampling_settings_of_a_backbone_do_not_reach_a_greedy_answer(
    build: Build, stir: Stir, backbone_folder: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "chatty"
    shutil.copytree(backbone_folder("llama"), folder)
    GenerationConfig(repetition_penalty=9.0, do_sample=True, temperature=0.6, top_k=20, top_p=0.9).save_pretrained(
        folder
    )
    chatty, plain = stir(build(path=str(folder))), stir(build("llama"))
    assert generate_answers(chatty, HISTORIES, CANDIDATES, max_new_tokens=12) == generate_answers(
        plain, HISTORIES, CANDIDATES, max_new_tokens=12
    )


def test_generation_stops_at_the_end_token(build: Build) -> None:
    llara = build("llama", tuning="full")
    answer = list(llara.encoder.answer_tokens(9))
    prompt = llara.encode_prompt([1], [9, 12])
    optimizer = torch.optim.AdamW(llara.model.parameters(), lr=1e-2)
    batch = collate([prompt], hybrid=[True], filler=llara.encoder.filler, answers=[answer])
    for _ in range(40):  # overfit one answer
        loss = -llara(batch, listwise=False).answer_log_probs.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    written = generate_answers(llara, [[1]], [[9, 12]], max_new_tokens=40)
    assert written == ["Blade Runner: The Final Cut"]
    assert chosen_columns(llara, written, [[9, 12]]) == [0]
    assert int(np.argmax(score_candidates(llara, [[1]], [[9, 12]])[0])) == 0


def test_answers_are_compared_by_item(build: Build) -> None:
    llara = build()
    answers = ["Aliens", "dune", "  THE  thing ", "Heat"]
    assert chosen_columns(llara, answers, [[1, 3], [4, 5], [3, 8], [1, 12]]) == [None, None, 1, 1]
