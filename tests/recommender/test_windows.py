"""Cutting sequences into windows and windows into batches."""

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data.sequences import Sequences
from llara.recommender.windows import batch_windows, cut_windows

Rows = st.lists(st.lists(st.integers(1, 9), max_size=25), min_size=1, max_size=8)


def transitions(rows: list[list[int]]) -> Counter[tuple[int, int]]:
    return Counter(pair for row in rows for pair in pairwise(row))


def test_a_sequence_that_fits_stays_whole() -> None:
    windows = cut_windows(Sequences.from_lists([[1, 2, 3], [4], [5, 6]]), max_length=2, rng=np.random.default_rng(0))
    assert windows.begin.tolist() == [0, 4]
    assert windows.length.tolist() == [2, 1]


def test_the_cut_moves_from_epoch_to_epoch() -> None:
    sequences, rng = Sequences.from_lists([list(range(1, 40))]), np.random.default_rng(0)
    cuts = {tuple(cut_windows(sequences, max_length=10, rng=rng).begin.tolist()) for _ in range(80)}
    assert len(cuts) == 10


@settings(max_examples=60, deadline=None)
@given(Rows, st.integers(1, 8), st.integers(1, 40), st.integers(0, 3))
def test_each_transition_is_a_target_exactly_once(
    rows: list[list[int]], max_length: int, batch: int, seed: int
) -> None:
    sequences, rng = Sequences.from_lists(rows), np.random.default_rng(seed)
    windows = cut_windows(sequences, max_length=max_length, rng=rng)
    seen: Counter[tuple[int, int]] = Counter()
    for inputs, targets in batch_windows(sequences, windows, batch_size=batch, rng=rng):
        assert inputs.shape == targets.shape
        assert inputs.shape[1] <= max_length
        assert ((inputs == 0) == (targets == 0)).all()
        assert (targets != 0).sum() < batch + max_length
        real = inputs != 0
        seen.update(zip(inputs[real].tolist(), targets[real].tolist(), strict=True))
        assert (inputs[:, 1:][targets[:, 1:] != 0] == targets[:, :-1][targets[:, 1:] != 0]).all()
    assert seen == transitions(rows)


def test_batches_hold_windows_of_similar_length() -> None:
    rng = np.random.default_rng(0)
    sequences = Sequences.from_lists([[1] * int(length) for length in rng.integers(2, 51, 800)])
    windows = cut_windows(sequences, max_length=50, rng=rng)
    batches = list(batch_windows(sequences, windows, batch_size=256, rng=rng))
    wasted = sum(int((targets == 0).sum()) for _, targets in batches) / sum(targets.numel() for _, targets in batches)
    assert wasted < 0.08
