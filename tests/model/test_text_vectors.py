"""Vectors of the items' texts: each text alone, however they are batched."""

from collections.abc import Callable

import pytest
import torch

from llara.model import Llara, SequenceConfig, text_vectors
from llara.model.backbone import decoder

Build = Callable[..., Llara]


@pytest.mark.parametrize("shape", ["nano", "qwen3"])
def test_a_text_has_the_mean_state_of_its_own_tokens(shape: str, build: Build) -> None:
    llara = build(shape).eval()
    found = text_vectors(llara.model, llara.encoder, precision="float32")
    assert not found[0].any()
    for item in (1, 9, 19):
        ids = torch.tensor([llara.encoder.text_tokens(item)])
        with torch.no_grad():
            states = decoder(llara.model)(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(found[item], states.mean(dim=0), rtol=1e-4, atol=1e-5)


def test_some_items_have_the_vectors_that_they_have_among_all(build: Build) -> None:
    llara = build().eval()
    whole = text_vectors(llara.model, llara.encoder, precision="float32")
    some = text_vectors(llara.model, llara.encoder, precision="float32", items=[4, 20])
    torch.testing.assert_close(some[[4, 20]], whole[[4, 20]], rtol=1e-4, atol=1e-5)
    assert not some[[1, 2, 3, 5]].any()


def test_vectors_from_elsewhere_may_have_any_width(build: Build) -> None:
    made = build(sequence=SequenceConfig(head=True, width=8))
    other = Llara.from_backbone(
        made.config.backbone, made.recommender, made.catalog, config=made.config,
        texts=torch.randn(25, 5, generator=torch.Generator().manual_seed(1)),
    )  # fmt: skip
    assert other.sequence_head().of_text.in_features == 5
