"""A tiny model to train and rows to train it on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from llara.data import Catalog, Examples
from llara.model import BackboneConfig, Llara, LlaraConfig, LoraSettings, NanoConfig
from llara.prompt import PromptConfig
from llara.recommender import SASRec

HISTORY_LENGTH = 4


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Sums depend on how many threads share them; the tests compare runs bit by bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def frozen_sasrec(tiny_catalog: Catalog) -> SASRec:
    """An unfitted recommender over the tiny catalog; its weights never change, so it can be shared."""
    return SASRec(tiny_catalog.num_items, width=16, seed=3)


@pytest.fixture(scope="session")
def tiny_llara(tiny_catalog: Catalog, frozen_sasrec: SASRec) -> Callable[..., Llara]:
    """A new nano model in float32; keywords beyond those named go to `LlaraConfig`. Same arguments, same weights."""

    def make(
        *, tuning: str = "lora", dropout: float = 0.0, prompt: PromptConfig | None = None, **options: Any
    ) -> Llara:
        backbone = BackboneConfig(
            tuning="full" if tuning == "full" else "lora",
            lora=LoraSettings(dropout=dropout),
            precision="float32",
            nano=NanoConfig(hidden_size=32, num_layers=2, num_heads=4, vocabulary=400),
        )
        config = LlaraConfig(prompt=prompt or PromptConfig(), **options)
        return Llara.from_backbone(backbone, frozen_sasrec, tiny_catalog, config=config)

    return make


@pytest.fixture(scope="session")
def make_examples(tiny_catalog: Catalog) -> Callable[[int], Examples]:
    """So many rows with histories of 2 to 4 items, none of which is the target."""

    def make(count: int) -> Examples:
        rng = np.random.default_rng(11)
        drawn = np.stack([rng.permutation(tiny_catalog.num_items)[: HISTORY_LENGTH + 1] + 1 for _ in range(count)])
        lengths = rng.integers(2, HISTORY_LENGTH + 1, size=count)
        history = np.where(np.arange(HISTORY_LENGTH) < lengths[:, None], drawn[:, 1:], 0)
        return Examples(history, lengths, drawn[:, 0], np.arange(count))

    return make
