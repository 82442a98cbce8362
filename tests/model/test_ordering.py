"""Candidates in the order of their probability: a named option, off by default."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from llara.data import Catalog
from llara.model import (
    Llara,
    SequenceConfig,
    generate_answers,
    in_order,
    score_candidates,
    shown_columns,
)
from llara.recommender import SASRec

HISTORIES = [[3, 8, 20], [1, 2, 3, 9], [11], [3, 8, 20]]
CANDIDATES = [[1, 2, 3, 9, 4], [5, 4, 19, 2, 1], [24, 9, 10, 11, 7], [6, 7, 8, 9, 10]]
Build = Callable[..., Llara]


@pytest.fixture
def ranking(build: Build, tiny_catalog: Catalog, sasrec: SASRec, stir: Callable[[Llara], Llara]) -> Build:
    """As `build`, with the option on and every weight moved a little."""

    def make(*, head: bool) -> Llara:
        sequence = SequenceConfig(head=head, width=16)
        config = replace(build(sequence=sequence).config, ranked_candidates=True)
        return stir(Llara.from_backbone(config.backbone, sasrec, tiny_catalog, config=config)).eval()

    return make


def best_first(llara: Llara) -> list[list[int]]:
    """The order worked out by hand, from the recommender's scores of the catalog."""
    found = [llara.recommender.score_all(torch.tensor([history]))[0].detach() for history in HISTORIES]
    return [sorted(items, key=lambda item: -float(found[row][item])) for row, items in enumerate(CANDIDATES)]


def asked_as_given(llara: Llara) -> Llara:
    llara.config = replace(llara.config, ranked_candidates=False)
    return llara


@pytest.mark.parametrize("head", [True, False])
def test_the_most_probable_candidates_come_first(ranking: Build, *, head: bool) -> None:
    llara = ranking(head=head)
    columns = shown_columns(llara, HISTORIES, CANDIDATES, hybrid=True)
    assert in_order(CANDIDATES, columns) == best_first(llara)
    assert in_order(CANDIDATES, columns) != CANDIDATES


def test_text_only_prompts_and_models_without_the_option_show_them_as_given(ranking: Build) -> None:
    llara = ranking(head=True)
    as_given = [list(range(5))] * 4
    assert [row.tolist() for row in shown_columns(llara, HISTORIES, CANDIDATES, hybrid=False)] == as_given
    asked_as_given(llara)
    assert [row.tolist() for row in shown_columns(llara, HISTORIES, CANDIDATES, hybrid=True)] == as_given


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_scores_are_those_of_the_ranked_prompt_in_the_order_asked(ranking: Build, scorer: str) -> None:
    llara = ranking(head=True)
    found = score_candidates(llara, HISTORIES, CANDIDATES, scorer=scorer)  # type: ignore[arg-type]
    ranked = best_first(llara)
    of_ranked = score_candidates(asked_as_given(llara), HISTORIES, ranked, scorer=scorer)  # type: ignore[arg-type]
    expected = [[of_ranked[row][ranked[row].index(item)] for item in items] for row, items in enumerate(CANDIDATES)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_the_model_writes_follows_the_ranked_prompt(ranking: Build) -> None:
    llara = ranking(head=True)
    written = generate_answers(llara, HISTORIES, CANDIDATES)
    ranked = best_first(llara)
    assert written == generate_answers(asked_as_given(llara), HISTORIES, ranked)
