"""Ragged sequences and the examples cut from them."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import llara.data
from llara.data import Sequences, examples_at, last_examples, prefix_examples

ROWS = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=8)


@given(rows=ROWS, data=st.data())
def test_selected_rows_are_the_rows(rows: list[list[int]], data: st.DataObject) -> None:
    sequences = Sequences.from_lists(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    selected = sequences.select(np.array(chosen, dtype=np.int64))
    assert [row.tolist() for row in selected] == [rows[row] for row in chosen]
    assert selected.user_index.tolist() == chosen
    assert selected.lengths.tolist() == [len(rows[row]) for row in chosen]


@given(rows=ROWS, data=st.data())
def test_rows_between_two_are_the_selected_ones(rows: list[list[int]], data: st.DataObject) -> None:
    sequences = Sequences.from_lists(rows, [7 + row for row in range(len(rows))])
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    found, expected = sequences.between(start, end), sequences.select(np.arange(start, end))
    assert [row.tolist() for row in found] == [row.tolist() for row in expected]
    assert found.offsets.tolist() == expected.offsets.tolist()
    assert found.user_index.tolist() == expected.user_index.tolist()


@given(rows=ROWS, history_length=st.integers(1, 4), min_history=st.integers(0, 3))
def test_prefixes_equal_a_plain_loop(rows: list[list[int]], history_length: int, min_history: int) -> None:
    examples = prefix_examples(Sequences.from_lists(rows), history_length=history_length, min_history=min_history)
    expected = [
        (row[max(0, place - history_length) : place], row[place], user)
        for user, row in enumerate(rows)
        for place in range(min_history, len(row))
    ]
    found = [
        (examples.history[row, : examples.history_length[row]].tolist(), examples.target[row], examples.user_index[row])
        for row in range(len(examples))
    ]
    assert found == expected
    assert (examples.history[np.arange(history_length) >= examples.history_length[:, None]] == 0).all()


def test_the_last_item_of_long_enough_sequences_is_the_target() -> None:
    sequences = Sequences.from_lists([[1, 2, 3], [4], [], [5, 6]])
    examples = last_examples(sequences, history_length=2, min_history=1)
    assert examples.target.tolist() == [3, 6]
    assert examples.history.tolist() == [[1, 2], [5, 0]]
    assert examples_at(sequences, np.array([1]), history_length=1).history.tolist() == [[1]]


def test_examples_are_the_same_across_blocks() -> None:
    rows = np.random.default_rng(0).integers(1, 99, (100, 700))
    sequences = Sequences.from_lists(rows.tolist())
    assert len(sequences.items) > 2**16
    examples = prefix_examples(sequences, history_length=3, min_history=3)
    windows = np.lib.stride_tricks.sliding_window_view(rows, 4, axis=1).reshape(-1, 4)
    assert (examples.history == windows[:, :3]).all()
    assert (examples.target == windows[:, 3]).all()
    assert (examples.user_index == np.repeat(np.arange(100), 697)).all()
    assert (examples.history_length == 3).all()


def test_everything_public_is_named_and_no_torch_is_needed() -> None:
    for name in llara.data.__all__:
        assert hasattr(llara.data, name)
    code = "import sys, llara.data; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
