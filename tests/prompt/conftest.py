"""Encoders over the tiny catalog, or over catalogs whose titles a test makes up."""

from collections.abc import Callable, Sequence

import polars as pl
import pytest
from transformers import PreTrainedTokenizerFast

from llara.data import Catalog
from llara.prompt import PromptConfig, PromptEncoder


@pytest.fixture(scope="session")
def titled() -> Callable[[Sequence[str]], Catalog]:
    """A catalog of movies with the given titles and no metadata."""

    def make(titles: Sequence[str]) -> Catalog:
        return Catalog(
            item_ids=(-1, *range(1, len(titles) + 1)), titles=("", *titles), noun="movie", metadata=pl.DataFrame()
        )

    return make


@pytest.fixture(scope="session")
def make_encoder(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> Callable[..., PromptEncoder]:
    """An encoder; by default the nano tokenizer over the tiny catalog with the default config."""

    def make(
        config: PromptConfig | None = None, *, tokenizer: str = "nano", catalog: Catalog | None = None
    ) -> PromptEncoder:
        return PromptEncoder(tiny_tokenizer(tokenizer), catalog or tiny_catalog, config or PromptConfig())

    return make
