"""The last feed-forward part at some positions: the same outputs and gradients, less work."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llara.model import Llara
from llara.model.backbone import decoder
from llara.prompt import PromptBatch, collate, collate_tree

HISTORIES = [[9, 24], [20, 9, 3]]
CANDIDATES = [[1, 2, 4], [5, 7, 8]]
Build = Callable[..., Llara]
Stir = Callable[[Llara], Llara]
WITH_PART = ["nano", "llama", "qwen3", "mistral", "gemma3"]


def batches(llara: Llara) -> list[PromptBatch]:
    prompts = [llara.encode_prompt(h, c) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    answers = [[llara.encoder.answer_tokens(item) for item in items] for items in CANDIDATES]
    filler = llara.encoder.filler
    return [
        collate(prompts, answers=[each[0] for each in answers], hybrid=[True, False], filler=filler),
        collate_tree(prompts, answers, hybrid=[True, False], filler=filler),
    ]


def outputs(llara: Llara, batch: PromptBatch) -> list[Tensor]:
    found = llara(batch)
    assert found.answer_log_probs is not None
    assert found.listwise is not None
    return [found.answer_log_probs, found.listwise]


@pytest.mark.parametrize("shape", [*WITH_PART, "gpt2"])
def test_outputs_and_gradients_do_not_notice(shape: str, build: Build, stir: Stir) -> None:
    llara = stir(build(shape)).eval()
    assert llara.last_feed_forward.is_active == (shape in WITH_PART)
    for batch in batches(llara):
        results = []
        for is_active in (llara.last_feed_forward.is_active, False):
            llara.last_feed_forward.is_active, before = is_active, llara.last_feed_forward.is_active
            found = outputs(llara, batch)
            gradients = torch.autograd.grad(sum(part.sum() for part in found), list(llara.trainable().values()))  # type: ignore[arg-type]
            llara.last_feed_forward.is_active = before
            results.append([*found, *gradients])
        for few, all_ in zip(*results, strict=True):
            torch.testing.assert_close(few, all_, atol=1e-5, rtol=1e-4)


def test_only_the_positions_that_are_read_are_computed(build: Build) -> None:
    llara = build("llama").eval()
    seen: list[int] = []
    part = decoder(llara.model).layers[-1].mlp  # type: ignore[index,union-attr]
    part.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[-2]))
    batch = batches(llara)[0]
    llara(batch, answer=False, listwise=True)
    llara(batch, answer=True, listwise=False)
    asked = [batch.candidate_positions.numel(), batch.answer_tokens.numel()]
    assert seen == [-(-count // 64) * 64 for count in asked]  # rounded up, so that few shapes occur
    assert max(seen) < batch.token_ids.numel()


def test_where_activations_are_recomputed_everything_is_computed(build: Build) -> None:
    assert not build("llama", gradient_checkpointing=True).last_feed_forward.is_active
