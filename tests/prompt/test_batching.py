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
    answers = [[10, 11, 2], [10, 2], [9, 2]]
    batch = collate_tree([SHORT, LONG], [answers, [[2]]], hybrid=[True, True], filler=FILLER)
    # The end token 2 is predicted, never read. Token 10 is read once for both answers that begin with it. All answers
    # begin after the longest prompt, at the position after their own prompt.
    assert batch.tree_start == 8
    assert batch.token_ids[0].tolist() == [5, FILLER, 6, FILLER, FILLER, 7, FILLER, FILLER, 9, 10, 11]
    assert batch.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 6, 6, 7]
    assert batch.is_token[0].tolist() == [True] * 6 + [False] * 2 + [True] * 3
    assert batch.reach[0].tolist() == [11] * 6 + [7, 8] + [9, 11, 11]
    assert batch.is_token[1].tolist() == [True] * 8 + [False] * 3
    assert batch.reach[1].tolist() == [11] * 8 + [9, 10, 11]
    assert batch.parts[0].tolist() == [0, 1, 0, 2, 2, 0] + [0] * 5  # an answer is no part, though it names a candidate
    assert batch.answer_rows.tolist() == [0] * 6 + [1]
    assert batch.answer_positions.tolist() == [5, 8, 5, 9, 9, 10, 7]
    assert batch.answer_tokens.tolist() == [9, 2, 10, 2, 11, 2, 2]
    assert batch.path_tokens.tolist() == [2, 4, 5, 2, 3, 0, 1, 6]
    assert batch.path_columns.tolist() == [0, 0, 0, 1, 1, 2, 2, 0]
    assert not batch.pads_left


def test_one_answer_follows_its_prompt() -> None:
    batch = collate([SHORT, LONG], answers=[[10, 11, 2], [2]], hybrid=[True, False], filler=FILLER)
    assert batch.token_ids.tolist() == [
        [5, FILLER, 6, FILLER, FILLER, 7, 10, 11],
        [5, FILLER, 6, FILLER, FILLER, FILLER, 6, 7],
    ]
    assert batch.is_token.all()
    assert batch.reach.tolist() == [[8] * 8] * 2
    assert batch.parts.tolist() == [[0, 1, 0, 2, 2, 0, 0, 0], [0, 1, 0, 2, 2, 2, 0, 0]]
    assert batch.answer_rows.tolist() == [0, 0, 0, 1]
    assert batch.answer_positions.tolist() == [5, 6, 7, 7]
    assert batch.answer_tokens.tolist() == [10, 11, 2, 2]
    assert batch.hybrid.tolist() == [True, False]
    assert len(batch) == 2
    assert batch.tree_start is None
    assert batch.path_tokens.tolist() == [0, 1, 2, 3]
    assert batch.path_columns.tolist() == [0] * 4


def test_without_answers_the_prompt_stands_alone_and_padding_comes_last() -> None:
    batch = collate([SHORT, LONG], hybrid=[True, True], filler=FILLER)
    assert batch.token_ids.tolist()[0] == [5, FILLER, 6, FILLER, FILLER, 7, FILLER, FILLER]
    assert batch.is_token.tolist()[0] == [True] * 6 + [False] * 2
    assert batch.reach.tolist()[0] == [8] * 6 + [7, 8]
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
    assert batch.is_token.tolist()[0] == [False] * 2 + [True] * 6
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
    """Everything that a batch says about a row, columns counted without padding."""
    real = batch.is_token[row]
    column = real.cumsum(0) - 1
    seen_by = [(real & (torch.arange(len(real)) < end)).sum().item() for end in batch.reach[row][real].tolist()]
    slots, answers = batch.slot_rows == row, batch.answer_rows == row
    paths = answers[batch.path_tokens]
    return (
        batch.token_ids[row][real].tolist(),
        batch.position_ids[row][real].tolist(),
        seen_by,
        batch.parts[row][real].tolist(),
        column[batch.slot_positions[slots]].tolist(),
        batch.slot_items[slots].tolist(),
        column[batch.candidate_positions[row][batch.candidate_mask[row]]].tolist(),
        column[batch.answer_positions[answers]].tolist(),
        batch.answer_tokens[answers].tolist(),
        batch.answer_tokens[batch.path_tokens[paths]].tolist(),
        batch.path_columns[paths].tolist(),
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
            real = batch.is_token[row]
            assert batch.parts[row][real].tolist()[:size] == prompt.parts
            assert not batch.parts[row][real][size:].any()  # an answer is no part
            assert not batch.parts[row][~real].any()


def test_items_of_a_row_are_padded_on_the_right() -> None:
    rows = [replace(SHORT, history_items=[3]), replace(LONG, history_items=[4, 6])]
    batch = collate_left(rows, hybrid=[True, True], filler=FILLER)
    assert batch.candidate_items.tolist() == [[7, 8, 0], [9, 2, 1]]
    assert batch.history_items.tolist() == [[3, 0], [4, 6]]
