"""Encoded prompts -> padded tensors. Three shapes: with one answer, with an answer tree, to generate from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from llara.prompt.encoding import WORDING_PART, EncodedPrompt

PROMPT_BRANCH = 0
PADDING_BRANCH = -1


@dataclass(frozen=True)
class PromptBatch:
    """A padded batch. B rows, T tokens, S slots in all rows together, C candidates, P predicted answer tokens.

    Attributes:
        token_ids: Prompt, then answer tokens if any, [B, T]; slots and padding hold the filler.
        position_ids: Position of each token; the branches of a tree all start after the prompt, [B, T].
        branch: 0 prompt, c + 1 answer branch of candidate c, -1 padding, [B, T].
        parts: 0 wording, answer or padding, 1 history item, 2 candidate, [B, T].
        slot_rows, slot_positions, slot_items: Where each slot is and which item it shows, [S].
        hybrid: Whether the row's slots hold behavioral tokens (else the placeholder), bool [B].
        candidate_positions: Last prompt position of each candidate, [B, C]; rows with fewer repeat their last one.
        candidate_items: Item index of each candidate, 0 where a row has fewer, [B, C].
        history_items: Item index of each history item, oldest first, padded with 0 on the right, [B, L].
        candidate_mask: Which entries of `candidate_positions` are real, bool [B, C].
        answer_rows, answer_positions: Positions whose next token is an answer token, [P].
        answer_tokens: That next token, [P].
        answer_branches: Candidate column that the token belongs to (0 in a batch with one answer), [P].
        is_tree: Whether rows hold several branches, which then need their own attention mask.
        pads_left: Whether padding comes first (generation); else last.
    """

    token_ids: Tensor
    position_ids: Tensor
    branch: Tensor
    parts: Tensor
    slot_rows: Tensor
    slot_positions: Tensor
    slot_items: Tensor
    hybrid: Tensor
    candidate_positions: Tensor
    candidate_items: Tensor
    history_items: Tensor
    candidate_mask: Tensor
    answer_rows: Tensor
    answer_positions: Tensor
    answer_tokens: Tensor
    answer_branches: Tensor
    is_tree: bool
    pads_left: bool

    def __len__(self) -> int:
        return self.token_ids.shape[0]

    def to(self, device: torch.device) -> "PromptBatch":
        """The same batch on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def collate(
    prompts: Sequence[EncodedPrompt],
    *,
    hybrid: Sequence[bool],
    filler: int,
    answers: Sequence[Sequence[int]] | None = None,
) -> PromptBatch:
    """Batch prompts, each followed by its answer if `answers` are given (token ids with the end token).

    The end token is predicted but never read, so it takes no position.
    """
    branches = [[answer] for answer in answers] if answers is not None else [[] for _ in prompts]
    return _assemble(prompts, branches, hybrid=hybrid, filler=filler, is_tree=False, pads_left=False)


def collate_tree(
    prompts: Sequence[EncodedPrompt],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    hybrid: Sequence[bool],
    filler: int,
) -> PromptBatch:
    """Batch prompts, each followed by one branch per candidate answer; `answers[b][c]` ends with the end token."""
    return _assemble(prompts, answers, hybrid=hybrid, filler=filler, is_tree=True, pads_left=False)


def collate_left(prompts: Sequence[EncodedPrompt], *, hybrid: Sequence[bool], filler: int) -> PromptBatch:
    """Batch prompts to generate from: padding comes first, so that all rows go on after the last column."""
    return _assemble(prompts, [[] for _ in prompts], hybrid=hybrid, filler=filler, is_tree=False, pads_left=True)


def _assemble(
    prompts: Sequence[EncodedPrompt],
    branches: Sequence[Sequence[Sequence[int]]],
    *,
    hybrid: Sequence[bool],
    filler: int,
    is_tree: bool,
    pads_left: bool,
) -> PromptBatch:
    lengths = [
        len(prompt.token_ids) + sum(len(answer) - 1 for answer in answers)
        for prompt, answers in zip(prompts, branches, strict=True)
    ]
    width = max(lengths)
    rows = [_Row(prompt, answers) for prompt, answers in zip(prompts, branches, strict=True)]
    shifts = [width - length if pads_left else 0 for length in lengths]

    def padded(values: list[list[int]], fill: int) -> Tensor:
        filled = [
            [fill] * shift + row + [fill] * (width - shift - len(row))
            for row, shift in zip(values, shifts, strict=True)
        ]
        return torch.tensor(filled, dtype=torch.long)

    def flat(values: list[list[int]], *, shifted: bool = False) -> Tensor:
        joined = [v + (s if shifted else 0) for row, s in zip(values, shifts, strict=True) for v in row]
        return torch.tensor(joined, dtype=torch.long)

    def owners(values: list[list[int]]) -> Tensor:
        return torch.tensor([row for row, entries in enumerate(values) for _ in entries], dtype=torch.long)

    num_candidates = max(len(prompt.candidate_positions) for prompt in prompts)
    counts = torch.tensor([len(prompt.candidate_positions) for prompt in prompts])
    return PromptBatch(
        token_ids=padded([row.tokens for row in rows], filler),
        position_ids=padded([row.positions for row in rows], 0),
        branch=padded([row.branch for row in rows], PADDING_BRANCH),
        parts=padded([row.parts for row in rows], WORDING_PART),
        slot_rows=owners([prompt.slot_items for prompt in prompts]),
        slot_positions=flat([prompt.slot_positions for prompt in prompts], shifted=True),
        slot_items=flat([prompt.slot_items for prompt in prompts]),
        hybrid=torch.tensor(list(hybrid), dtype=torch.bool),
        candidate_positions=torch.tensor(
            [
                [p + shift for p in prompt.candidate_positions]
                + [prompt.candidate_positions[-1] + shift] * (num_candidates - len(prompt.candidate_positions))
                for prompt, shift in zip(prompts, shifts, strict=True)
            ]
        ),
        candidate_items=_padded_right([prompt.candidate_items for prompt in prompts]),
        history_items=_padded_right([prompt.history_items for prompt in prompts]),
        candidate_mask=torch.arange(num_candidates) < counts[:, None],
        answer_rows=owners([row.answer_tokens for row in rows]),
        answer_positions=flat([row.answer_positions for row in rows], shifted=True),
        answer_tokens=flat([row.answer_tokens for row in rows]),
        answer_branches=flat([row.answer_branches for row in rows]),
        is_tree=is_tree,
        pads_left=pads_left,
    )


def _padded_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Item indices padded with 0 on the right, [B, longest]."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long)


class _Row:
    """One prompt with its branches laid out one after the other."""

    def __init__(self, prompt: EncodedPrompt, answers: Sequence[Sequence[int]]) -> None:
        size = len(prompt.token_ids)
        self.tokens = list(prompt.token_ids)
        self.positions = list(range(size))
        self.branch = [PROMPT_BRANCH] * size
        self.parts = list(prompt.parts)
        self.answer_positions: list[int] = []
        self.answer_tokens: list[int] = []
        self.answer_branches: list[int] = []
        for column, answer in enumerate(answers):
            start = len(self.tokens)
            read = list(answer[:-1])
            self.answer_positions.extend([size - 1, *range(start, start + len(read))])
            self.answer_tokens.extend(answer)
            self.answer_branches.extend([column] * len(answer))
            self.tokens.extend(read)
            self.positions.extend(range(size, size + len(read)))
            self.branch.extend([column + 1] * len(read))
            self.parts.extend([WORDING_PART] * len(read))
