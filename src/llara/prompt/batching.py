"""Encoded prompts -> padded tensors. Three shapes: with one answer, with an answer tree, to generate from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from llara.prompt.encoding import WORDING_PART, EncodedPrompt
from llara.prompt.trie import AnswerTrie, build_trie


@dataclass(frozen=True)
class SlotPlaces:
    """The slots of one kind in a batch, S in all rows together.

    Attributes:
        rows, positions: Where they are, [S].
        keys: What they are about, [S].
    """

    rows: Tensor
    positions: Tensor
    keys: Tensor


@dataclass(frozen=True)
class PromptBatch:
    """A padded batch. B rows, T tokens, S slots in all rows together, C candidates, E predicted answer tokens.

    Attributes:
        token_ids: Prompt, then answer tokens if any, [B, T]; slots and padding hold the filler.
        position_ids: Position of each token; in a tree all nodes of one depth share theirs, [B, T].
        is_token: False at padding, bool [B, T].
        reach: First column that cannot see the token any more: the end of its subtree in a tree, else T; padding is
            seen by itself only, [B, T].
        parts: 0 wording, answer or padding, 1 history item, 2 candidate, [B, T].
        slot_rows, slot_positions, slot_items: Where each slot is and which item it shows, [S].
        hybrid: Whether the row's slots hold behavioral tokens (else the placeholder), bool [B].
        candidate_positions: Last prompt position of each candidate, [B, C]; rows with fewer repeat their last one.
        candidate_items: Item index of each candidate, 0 where a row has fewer, [B, C].
        history_items: Item index of each history item, oldest first, padded with 0 on the right, [B, L].
        history_positions: Last position of each history item, [B, L]; 0 where a row has fewer, or is only part of a
            prompt.
        next_items: In training on histories alone: the item that follows each history item, 0 where there is none or
            none is learned, [B, L]; else empty, [B, 0].
        candidate_mask: Which entries of `candidate_positions` are real, bool [B, C].
        answer_rows, answer_positions: Positions whose next token is an answer token, [E]; in a tree they repeat where
            answers part.
        answer_tokens: That next token, [E].
        path_tokens, path_columns: Which of these tokens make up the answer of which candidate column, [P]; columns are
            0 in a batch with one answer.
        tree_start: First column of the answers in a tree, which has its own attention mask; None: no tree.
        pads_left: Whether padding comes first (generation); else last.
        other_slots: Slots of the wording, by kind.
        whole_items: Whether each slot stands for all of its item, its text too.
    """

    token_ids: Tensor
    position_ids: Tensor
    is_token: Tensor
    reach: Tensor
    parts: Tensor
    slot_rows: Tensor
    slot_positions: Tensor
    slot_items: Tensor
    hybrid: Tensor
    candidate_positions: Tensor
    candidate_items: Tensor
    history_items: Tensor
    history_positions: Tensor
    next_items: Tensor
    candidate_mask: Tensor
    answer_rows: Tensor
    answer_positions: Tensor
    answer_tokens: Tensor
    path_tokens: Tensor
    path_columns: Tensor
    tree_start: int | None
    pads_left: bool
    other_slots: Mapping[str, SlotPlaces] = field(default_factory=dict)
    whole_items: bool = False

    def __len__(self) -> int:
        return self.token_ids.shape[0]

    def to(self, device: torch.device) -> "PromptBatch":
        """The same batch on a device."""
        moved = {
            part.name: getattr(self, part.name).to(device)
            for part in fields(self)
            if isinstance(getattr(self, part.name), Tensor)
        }
        others = {
            kind: SlotPlaces(places.rows.to(device), places.positions.to(device), places.keys.to(device))
            for kind, places in self.other_slots.items()
        }
        return replace(self, **moved, other_slots=others)


def collate(
    prompts: Sequence[EncodedPrompt],
    *,
    hybrid: Sequence[bool],
    filler: int,
    answers: Sequence[Sequence[int]] | None = None,
    padded_width: Callable[[int], int] | None = None,
) -> PromptBatch:
    """Batch prompts, each followed by its answer if `answers` are given (token ids with the end token).

    The end token is predicted but never read, so it takes no position. `padded_width` turns the tokens T of the longest
    row into those of the batch, T or more.
    """
    rows = [_Row(prompt, answer) for prompt, answer in zip(prompts, answers or [()] * len(prompts), strict=True)]
    longest = max(len(row.tokens) for row in rows)
    width = longest if padded_width is None else padded_width(longest)
    return _assemble(prompts, rows, hybrid=hybrid, filler=filler, width=width)


def collate_histories(
    prompts: Sequence[EncodedPrompt],
    *,
    hybrid: Sequence[bool],
    filler: int,
    next_items: Sequence[Sequence[int]] | None = None,
    padded_width: Callable[[int], int] | None = None,
) -> PromptBatch:
    """Batch histories without candidates; `next_items[b][l]` follows history item l of row b (0: not learned)."""
    batch = collate(prompts, hybrid=hybrid, filler=filler, padded_width=padded_width)
    return batch if next_items is None else replace(batch, next_items=_padded_right(next_items))


def collate_tree(
    prompts: Sequence[EncodedPrompt],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    hybrid: Sequence[bool],
    filler: int,
) -> PromptBatch:
    """Batch prompts, each followed by the trie of its candidates' answers; `answers[b][c]` ends with the end token.

    Prompts are padded to one width, so that all answers begin in one column.
    """
    start = max(len(prompt.token_ids) for prompt in prompts)
    rows = [
        _TreeRow(prompt, build_trie(branches), start=start, filler=filler)
        for prompt, branches in zip(prompts, answers, strict=True)
    ]
    return _assemble(prompts, rows, hybrid=hybrid, filler=filler, tree_start=start)


def collate_left(prompts: Sequence[EncodedPrompt], *, hybrid: Sequence[bool], filler: int) -> PromptBatch:
    """Batch prompts to generate from: padding comes first, so that all rows go on after the last column."""
    return _assemble(prompts, [_Row(prompt, ()) for prompt in prompts], hybrid=hybrid, filler=filler, pads_left=True)


class _Row:
    """One prompt with one answer behind it, as columns of a batch.

    Attributes:
        ends: As `PromptBatch.reach`, but 0 stands for T.
    """

    def __init__(self, prompt: EncodedPrompt, answer: Sequence[int]) -> None:
        size = len(prompt.token_ids)
        read = list(answer[:-1])
        self.tokens = prompt.token_ids + read
        self.positions = list(range(len(self.tokens)))
        self.ends = [0] * len(self.tokens)
        self.is_token = [True] * len(self.tokens)
        self.parts = prompt.parts + [WORDING_PART] * len(read)
        self.answer_positions = list(range(size - 1, size - 1 + len(answer)))
        self.answer_tokens = list(answer)
        self.paths = [list(range(len(answer)))]


class _TreeRow(_Row):
    """One prompt with a trie of answers behind it, from column `start` on."""

    def __init__(self, prompt: EncodedPrompt, trie: AnswerTrie, *, start: int, filler: int) -> None:
        super().__init__(prompt, ())
        size = len(prompt.token_ids)
        gap = range(size, start)
        self.tokens = [*self.tokens, *[filler] * len(gap), *trie.tokens]
        self.positions += [0] * len(gap) + [size - 1 + depth for depth in trie.depths]
        self.ends += [column + 1 for column in gap] + [start - 1 + end for end in trie.ends]
        self.is_token += [False] * len(gap) + [True] * len(trie.tokens)
        self.parts = self.parts + [WORDING_PART] * (len(gap) + len(trie.tokens))
        self.answer_positions = [size - 1 if node == 0 else start - 1 + node for node in trie.edge_nodes]
        self.answer_tokens = trie.edge_tokens
        self.paths = trie.paths


@dataclass(frozen=True)
class _Layout:
    """Where rows lie in a batch: its width, and by how much each row is moved to the right."""

    width: int
    shifts: Sequence[int]

    def padded(self, values: Sequence[Sequence[int]], fill: int) -> Tensor:
        """One value for each token, [B, T]."""
        filled = [
            [*[fill] * shift, *row, *[fill] * (self.width - shift - len(row))]
            for row, shift in zip(values, self.shifts, strict=True)
        ]
        return torch.tensor(filled, dtype=torch.long)

    def flat(self, values: Sequence[Sequence[int]], *, shifted: bool = False) -> Tensor:
        """All rows' values one after another; `shifted` ones are positions."""
        joined = [v + (s if shifted else 0) for row, s in zip(values, self.shifts, strict=True) for v in row]
        return torch.tensor(joined, dtype=torch.long)


def _assemble(
    prompts: Sequence[EncodedPrompt],
    rows: Sequence[_Row],
    *,
    hybrid: Sequence[bool],
    filler: int,
    width: int | None = None,
    tree_start: int | None = None,
    pads_left: bool = False,
) -> PromptBatch:
    width = width or max(len(row.tokens) for row in rows)
    layout = _Layout(width, [width - len(row.tokens) if pads_left else 0 for row in rows])
    is_token = layout.padded([row.is_token for row in rows], False).bool()
    counts = torch.tensor([len(prompt.candidate_positions) for prompt in prompts])
    return PromptBatch(
        token_ids=layout.padded([row.tokens for row in rows], filler),
        position_ids=layout.padded([row.positions for row in rows], 0),
        is_token=is_token,
        reach=_reach(layout.padded([row.ends for row in rows], 0), is_token),
        parts=layout.padded([row.parts for row in rows], WORDING_PART),
        slot_rows=_owners([prompt.slot_items for prompt in prompts]),
        slot_positions=layout.flat([prompt.slot_positions for prompt in prompts], shifted=True),
        slot_items=layout.flat([prompt.slot_items for prompt in prompts]),
        hybrid=torch.tensor(list(hybrid), dtype=torch.bool),
        candidate_positions=_candidate_positions(prompts, layout.shifts),
        candidate_items=_padded_right([prompt.candidate_items for prompt in prompts]),
        history_items=_padded_right([prompt.history_items for prompt in prompts]),
        history_positions=_history_positions(prompts, layout.shifts),
        next_items=torch.zeros(len(prompts), 0, dtype=torch.long),
        candidate_mask=torch.arange(int(counts.max())) < counts[:, None],
        answer_rows=_owners([row.answer_tokens for row in rows]),
        answer_positions=layout.flat([row.answer_positions for row in rows], shifted=True),
        answer_tokens=layout.flat([row.answer_tokens for row in rows]),
        **_paths(rows),
        tree_start=tree_start,
        pads_left=pads_left,
        other_slots=_other_slots(prompts, layout.shifts),
        whole_items=prompts[0].whole_items,
    )


def _candidate_positions(prompts: Sequence[EncodedPrompt], shifts: Sequence[int]) -> Tensor:
    """Rows with fewer candidates repeat their last one's position, [B, C]."""
    most = max(len(prompt.candidate_positions) for prompt in prompts)
    rows = [
        [*prompt.candidate_positions, *prompt.candidate_positions[-1:] * (most - len(prompt.candidate_positions))]
        for prompt in prompts
    ]
    return torch.tensor([[p + shift for p in row] for row, shift in zip(rows, shifts, strict=True)], dtype=torch.long)


def _history_positions(prompts: Sequence[EncodedPrompt], shifts: Sequence[int]) -> Tensor:
    """0 where a row has fewer, or is only part of a prompt, [B, L]."""
    return _padded_right(
        [
            [p + shift for p in prompt.history_positions] or [0] * len(prompt.history_items)
            for prompt, shift in zip(prompts, shifts, strict=True)
        ]
    )


def _other_slots(prompts: Sequence[EncodedPrompt], shifts: Sequence[int]) -> dict[str, SlotPlaces]:
    found: dict[str, list[tuple[int, int, int]]] = {}
    for row, (prompt, shift) in enumerate(zip(prompts, shifts, strict=True)):
        for placed in prompt.other_slots:
            found.setdefault(placed.slot.kind, []).append((row, placed.position + shift, placed.slot.key))
    columns = {kind: torch.tensor(places, dtype=torch.long).T for kind, places in found.items()}  # each [3, S]
    return {kind: SlotPlaces(*places) for kind, places in columns.items()}


def _reach(ends: Tensor, is_token: Tensor) -> Tensor:
    """Ends of subtrees, T where there is none, and the next column at padding, [B, T]."""
    width = ends.shape[1]
    following = torch.arange(1, width + 1).expand_as(ends)
    return torch.where(is_token, ends.masked_fill(ends == 0, width), following)


def _paths(rows: Sequence[_Row]) -> dict[str, Tensor]:
    """`path_tokens` and `path_columns`."""
    tokens: list[int] = []
    columns: list[int] = []
    before = 0
    for row in rows:
        for column, path in enumerate(row.paths):
            tokens.extend(before + token for token in path)
            columns.extend([column] * len(path))
        before += len(row.answer_tokens)
    return {
        "path_tokens": torch.tensor(tokens, dtype=torch.long),
        "path_columns": torch.tensor(columns, dtype=torch.long),
    }


def _owners(values: Sequence[Sequence[int]]) -> Tensor:
    """The row of each entry of ragged rows."""
    return torch.tensor([row for row, entries in enumerate(values) for _ in entries], dtype=torch.long)


def _padded_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Item indices padded with 0 on the right, [B, longest]."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long)
