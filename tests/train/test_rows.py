"""Training rows of prompts with candidates: what a ranked prompt shows, and where its target stands."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from llara.data import Examples, IntArray
from llara.model import Llara, SequenceConfig
from llara.train.draws import Draws
from llara.train.rows import CandidateRows, TrainingBatch

Build = Callable[..., Llara]
HYBRID = np.array([True, False, True, True])


def batch(llara: Llara, examples: Examples) -> TrainingBatch:
    draws = Draws(examples, llara.encoder, 5, answers=False, seed=3)
    return CandidateRows(llara, examples, draws, None).batch(np.arange(4), HYBRID, epoch=0, step=0)


def targets(made: TrainingBatch) -> IntArray:
    return np.take_along_axis(made.prompts.candidate_items.numpy(), made.target_column.numpy()[:, None], axis=1)[:, 0]


def test_hybrid_prompts_are_ranked_and_the_target_is_found_again(
    tiny_llara: Build, make_examples: Callable[[int], Examples]
) -> None:
    head, examples = SequenceConfig(head=True, width=16), make_examples(4)
    plain = batch(tiny_llara(sequence=head), examples)
    llara = tiny_llara(sequence=head, ranked_candidates=True).train()
    ranked = batch(llara, examples)
    assert llara.training
    np.testing.assert_array_equal(targets(ranked), examples.target)
    np.testing.assert_array_equal(targets(plain), examples.target)
    with torch.no_grad():
        scores = llara.recommender.score_all(torch.from_numpy(examples.history)).numpy()
    for row, hybrid in enumerate(HYBRID):
        shown = ranked.prompts.candidate_items[row].tolist()
        as_drawn = plain.prompts.candidate_items[row].tolist()
        assert shown == (sorted(as_drawn, key=lambda item: -scores[row][item]) if hybrid else as_drawn)


@pytest.mark.parametrize("ranked", [True, False])
def test_the_prior_stands_in_the_order_of_the_prompt(
    tiny_llara: Build, make_examples: Callable[[int], Examples], *, ranked: bool
) -> None:
    examples = make_examples(4)
    llara = tiny_llara(ranked_candidates=ranked)

    class ItemNumbers:
        """Judges an item by its number."""

        def log_probs(self, _: Examples, candidates: IntArray) -> IntArray:
            return candidates

    rows = CandidateRows(llara, examples, Draws(examples, llara.encoder, 5, answers=False, seed=3), ItemNumbers())  # type: ignore[arg-type]
    made = rows.batch(np.arange(4), HYBRID, epoch=0, step=0)
    np.testing.assert_array_equal(made.prior, made.prompts.candidate_items)
