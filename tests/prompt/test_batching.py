"""Padded tensors: layouts worked by hand, and padding that changes nothing."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from llara.prompt import EncodedPrompt, PromptBatch, collate, collate_left, collate_tree

FILLER = 99
# Tokens 5 .. are wording; slots hold the filler. "Short" shows item 3 and candidates 7, 8; "long" has one more token.
SHORT = EncodedPrompt(
    token_ids=[5, FILLER, 6, FILLER, FILLER, 7], slot_positions=[1, 3, 4], slot_items=[3, 7, 8],
    candidate_positions=[3, 4], candidate_items=[7, 8], history_items=[3], parts=[0, 1, 0, 2, 2, 0],
)  # fmt: skip
LONG = EncodedPrompt(
    token_ids=[5, FILLER, 6, FILLER, FILLER, FILLER, 6, 7], slot_positions=[1, 3, 4, 5], slot_items=[4, 9, 2, 1],
    candidate_positions=[3, 4, 5], candidate_items=[9, 2, 1], history_items=[4], parts=[0, 1, 0, 2, 2, 2, 0, 0],
)  # fmt: skip


def test_a_tree_worked_by_hand() -> None:
    batch = collate_tree([SHORT], [[[10, 11, 2], [10, 2]]], hybrid=[True], filler=FILLER)
    # The end token 2 is predicted, never read. Both branches start after the prompt's six positions.
    assert batch.token_ids.tolist() == [[5, FILLER, 6, FILLER, FILLER, 7, 10, 11, 10]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 6]]
    assert batch.branch.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 2]]
    assert batch.parts.tolist() == [[0, 1, 0, 2, 2, 0, 0, 0, 0]]  # an answer is no part, though it names a candidate
    assert batch.answer_positions.tolist() == [5, 6, 7, 5, 8]
    assert batch.answer_tokens.tolist() == [10, 11, 2, 10, 2]
    assert batch.answer_branches.tolist() == [0, 0, 0, 1, 1]
    assert batch.answer_rows.tolist() == [0] * 5
    assert batch.is_tree
    assert not batch.pads_left


def test_one_answer_follows_its_prompt() -> None:
    batch = collate([SHORT, LONG], answers=[[10, 11, 2], [2]], hybrid=[True, False], filler=FILLER)
    assert batch.token_ids.tolist() == [
        [5, FILLER, 6, FILLER, FILLER, 7, 10, 11],
        [5, FILLER, 6, FILLER, FILLER, FILLER, 6, 7],
    ]
    assert batch.branch.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1], [0] * 8]
    assert batch.parts.tolist() == [[0, 1, 0, 2, 2, 0, 0, 0], [0, 1, 0, 2, 2, 2, 0, 0]]
    assert batch.answer_rows.tolist() == [0, 0, 0, 1]
    assert batch.answer_positions.tolist() == [5, 6, 7, 7]
    assert batch.answer_tokens.tolist() == [10, 11, 2, 2]
    assert batch.hybrid.tolist() == [True, False]
    assert len(batch) == 2
    assert not batch.is_tree


def test_without_answers_the_prompt_stands_alone_and_padding_comes_last() -> None:
    batch = collate([SHORT, LONG], hybrid=[True, True], filler=FILLER)
    assert batch.token_ids.tolist()[0] == [5, FILLER, 6, FILLER, FILLER, 7, FILLER, FILLER]
    assert batch.branch.tolist()[0] == [0, 0, 0, 0, 0, 0, -1, -1]
    assert batch.parts.tolist()[0] == [0, 1, 0, 2, 2, 0, 0, 0]
    assert batch.answer_tokens.numel() == 0
    assert batch.slot_rows.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert batch.slot_positions.tolist() == [1, 3, 4, 1, 3, 4, 5]
    assert batch.slot_items.tolist() == [3, 7, 8, 4, 9, 2, 1]


def test_rows_with_fewer_candidates_are_masked() -> None:
    batch = collate([SHORT, LONG], hybrid=[True, True], filler=FILLER)
    assert batch.candidate_positions.tolist() == [[3, 4, 4], [3, 4, 5]]
    assert batch.candidate_mask.tolist() == [[True, True, False], [True, True, True]]


def test_left_padding_moves_slots_and_candidates_along() -> None:
    # The released code pads on the right and generates from the padding (FACTS.md 4.5).
    batch = collate_left([SHORT, LONG], hybrid=[True, True], filler=FILLER)
    assert batch.token_ids.tolist()[0] == [FILLER, FILLER, 5, FILLER, 6, FILLER, FILLER, 7]
    assert batch.branch.tolist()[0] == [-1, -1, 0, 0, 0, 0, 0, 0]
    assert batch.parts.tolist() == [[0, 0, 0, 1, 0, 2, 2, 0], [0, 1, 0, 2, 2, 2, 0, 0]]
    assert batch.position_ids.tolist()[0][2:] == [0, 1, 2, 3, 4, 5]
    assert batch.slot_positions.tolist() == [3, 5, 6, 1, 3, 4, 5]
    assert batch.candidate_positions.tolist()[0][:2] == [5, 6]
    assert batch.pads_left
    assert batch.token_ids[:, -1].tolist() == [7, 7]


def test_moving_a_batch_keeps_all_of_it() -> None:
    batch = collate_left([SHORT], hybrid=[True], filler=FILLER)
    moved = batch.to(torch.device("cpu"))
    assert moved.pads_left
    assert torch.equal(moved.token_ids, batch.token_ids)
    assert torch.equal(moved.parts, batch.parts)


@st.composite
def prompts(draw: st.DrawFn) -> EncodedPrompt:
    size = draw(st.integers(3, 12))
    slots = sorted(draw(st.sets(st.integers(0, size - 1), max_size=size)))
    tokens = [FILLER if place in slots else draw(st.integers(3, 50)) for place in range(size)]
    count = draw(st.integers(1, 4))
    places = sorted(draw(st.lists(st.integers(0, size - 1), min_size=count, max_size=count)))
    history = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    parts = [draw(st.integers(0, 2)) for _ in tokens]
    items = [draw(st.integers(1, 9)) for _ in slots]
    return EncodedPrompt(tokens, slots, items, places, list(range(1, count + 1)), history, parts)


def _row(batch: PromptBatch, row: int) -> tuple[list[object], ...]:
    """Everything that a batch says about a row, positions counted from its first token."""
    real = batch.branch[row] >= 0
    shift = int(real.int().argmax())
    slots, answers = batch.slot_rows == row, batch.answer_rows == row
    return (
        batch.token_ids[row][real].tolist(),
        batch.position_ids[row][real].tolist(),
        batch.branch[row][real].tolist(),
        batch.parts[row][real].tolist(),
        (batch.slot_positions[slots] - shift).tolist(),
        batch.slot_items[slots].tolist(),
        (batch.candidate_positions[row][batch.candidate_mask[row]] - shift).tolist(),
        (batch.answer_positions[answers] - shift).tolist(),
        batch.answer_tokens[answers].tolist(),
        batch.answer_branches[answers].tolist(),
    )


@given(drawn=st.lists(prompts(), min_size=1, max_size=4), data=st.data())
def test_a_padded_row_says_what_the_single_row_says(drawn: list[EncodedPrompt], data: st.DataObject) -> None:
    answer = st.lists(st.integers(3, 50), min_size=1, max_size=4)
    trees = [[data.draw(answer) for _ in prompt.candidate_items] for prompt in drawn]
    flags = [True] * len(drawn)
    tree = collate_tree(drawn, trees, hybrid=flags, filler=FILLER)
    plain = collate(drawn, answers=[branches[0] for branches in trees], hybrid=flags, filler=FILLER)
    left = collate_left(drawn, hybrid=flags, filler=FILLER)
    for row, (prompt, branches) in enumerate(zip(drawn, trees, strict=True)):
        assert _row(tree, row) == _row(collate_tree([prompt], [branches], hybrid=[True], filler=FILLER), 0)
        assert _row(plain, row) == _row(collate([prompt], answers=[branches[0]], hybrid=[True], filler=FILLER), 0)
        assert _row(left, row) == _row(collate([prompt], hybrid=[True], filler=FILLER), 0)
        for batch in (tree, plain, left):
            size = len(prompt.token_ids)
            assert batch.parts[row][batch.branch[row] == 0].tolist() == prompt.parts[:size]
            assert not batch.parts[row][batch.branch[row] != 0].any()  # neither answers nor padding


def test_items_of_a_row_are_padded_on_the_right() -> None:
    rows = [replace(SHORT, history_items=[3]), replace(LONG, history_items=[4, 6])]
    batch = collate_left(rows, hybrid=[True, True], filler=FILLER)
    assert batch.candidate_items.tolist() == [[7, 8, 0], [9, 2, 1]]
    assert batch.history_items.tolist() == [[3, 0], [4, 6]]
