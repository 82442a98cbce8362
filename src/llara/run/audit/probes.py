"""The probes of an audit: each asks the model about the same rows and candidates in another way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from llara.data import Examples, IntArray, Split
from llara.evaluate import FloatArray, LlaraScorer, PairedTest, RankingTask, paired_test
from llara.evaluate.judging import score_draws
from llara.evaluate.metrics import target_ranks
from llara.model import BackboneConfig, Llara, LlaraConfig, ScorerName
from llara.model.backbone import NANO
from llara.model.weighing import by_itself
from llara.run.events import Advance, Listener, ignore, stage

_AGES = 5
"""Latest items of a history that are left out one at a time."""
_ORDERS = 3
_MEMORY_ROWS = 100


@dataclass(frozen=True)
class Probe:
    """What became of the answers when something was changed.

    Attributes:
        name: What was changed.
        meaning: What it tells, in a sentence.
        hit_ratio: HR@1.
        versus: Against the model as it is, paired over users; None for that itself.
        same_choice: Share of rows whose first candidate stayed the same.
        rows: How many rows were asked.
    """

    name: str
    meaning: str
    hit_ratio: float
    versus: PairedTest | None
    same_choice: float
    rows: int


@dataclass(frozen=True)
class LeftOut:
    """What leaving out one history item changes.

    Attributes:
        age: 1 for the latest item, 2 for the one before.
        rows: Rows whose history has such an item, and another one.
        hit_ratio: HR@1 without it.
        same_choice: Share of rows whose first candidate stayed the same.
        moved: Mean change of the target's lead over the other candidates' mean score, in the model's own units; below
            zero where the item spoke for the target.
    """

    age: int
    rows: int
    hit_ratio: float
    same_choice: float
    moved: float


@dataclass(frozen=True)
class Audit:
    """All that was found.

    Attributes:
        model: Which model, as tables call it.
        alone: Whether the recommender's judgment was left out of its scores.
        probes: The model as it is first.
        left_out: By age of the item.
        most_popular_chosen: Share of rows in which the first candidate is the one with most training interactions.
        most_popular_right: Share of rows in which the target is.
        draws: Candidate draws.
        blind: HR@1 of a blind guess.
    """

    model: str
    alone: bool
    probes: tuple[Probe, ...]
    left_out: tuple[LeftOut, ...]
    most_popular_chosen: float
    most_popular_right: float
    draws: int
    blind: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def audit_run(
    llara: Llara, split: Split, task: RankingTask, *, batch_size: int, seed: int = 0, listener: Listener = ignore
) -> Audit:
    """Ask a model about the same rows in many ways. Heads are asked without the recommender's part of the score.

    Args:
        llara: Trained model.
        split: Its training part says what is popular.
        task: Rows and their candidates.
        batch_size: Prompts per forward pass.
        seed: Of what is exchanged and shuffled.
        listener: Told of progress.
    """
    way: ScorerName = llara.default_scorer
    alone = way != "answer" and llara.config.recommender_prior and llara.uses_behavior
    changes = list(_changes(llara, task, way, np.random.default_rng(seed)))
    ages = range(1, min(_AGES, int(task.examples.history_length.max())) + 1)
    total = task.num_rankings * (1 + len(changes) + len(ages))
    with by_itself(llara, way) if alone else nullcontext(), stage(listener, "asking otherwise", total) as advance:
        known = _Known(_Model(llara, way, batch_size, advance), task)
        probes = [known.as_it_is(), *(known.probe(change) for change in changes)]
        left_out = [known.left_out(age) for age in ages]
    popular = _most_popular(task, split)
    return Audit(
        model=LlaraScorer(llara, way).name, alone=alone,
        probes=(*probes, *_memory(llara, task, batch_size, listener)),
        left_out=tuple(entry for entry in left_out if entry is not None),
        most_popular_chosen=float((known.scores.argmax(axis=2) == popular).mean()),
        most_popular_right=float((task.target_columns == popular).mean()),
        draws=len(task.draws), blind=1 / task.candidate_items.shape[2],
    )  # fmt: skip


@dataclass(frozen=True)
class _Model:
    """A model that is asked."""

    llara: Llara
    way: ScorerName
    batch_size: int
    advance: Advance

    def scores(self, task: RankingTask) -> FloatArray:
        """Of all draws, [draws, N, C]."""
        return score_draws(
            LlaraScorer(self.llara, self.way, batch_size=self.batch_size), task, on_progress=self.advance
        )


@dataclass(frozen=True)
class _Change:
    """One thing that is changed: its name, what it tells, the rows, and what holds while they are asked."""

    name: str
    meaning: str
    task: RankingTask
    holding: Callable[[], AbstractContextManager[None]] = nullcontext


class _Known:
    """What a model answers as it is, and comparisons with it."""

    def __init__(self, model: _Model, task: RankingTask) -> None:
        self.model, self.task = model, task
        self.scores = model.scores(task)
        self.hits = _hits(self.scores, task.target_columns)

    def as_it_is(self) -> Probe:
        """Nothing is changed."""
        return Probe("as it is", "The model as it was trained.", float(self.hits.mean()), None, 1.0, len(self.hits))

    def probe(self, change: _Change) -> Probe:
        """Ask again; the order of candidates within a row may be another."""
        with change.holding():
            scores = self.model.scores(change.task)
        hits = _hits(scores, change.task.target_columns)
        test = paired_test(hits, self.hits, users=self.task.users)
        same = float((_first(change.task, scores) == _first(self.task, self.scores)).mean())
        return Probe(change.name, change.meaning, float(hits.mean()), test, same, len(hits))

    def left_out(self, age: int) -> LeftOut | None:
        """The rows whose history has an item of that age and another one, without it; None: there are none."""
        rows = np.flatnonzero(self.task.examples.history_length > max(age, 1))
        if not len(rows):
            return None
        some, before = _of_rows(self.task, rows), self.scores[:, rows]
        place = some.examples.history_length - age
        pairs = zip(some.examples.history, place, strict=True)
        kept = np.array([np.append(np.delete(row, at), 0) for row, at in pairs])
        scores = self.model.scores(_with_history(some, kept))
        same = float((_first(some, scores) == _first(some, before)).mean())
        moved = _lead(scores, some.target_columns) - _lead(before, some.target_columns)
        hit_ratio = float(_hits(scores, some.target_columns).mean())
        return LeftOut(age, len(rows), hit_ratio, same, float(moved.mean()))


def _changes(llara: Llara, task: RankingTask, way: ScorerName, rng: np.random.Generator) -> Iterator[_Change]:
    other = np.concatenate([[0], rng.permutation(llara.catalog.num_items) + 1])
    if llara.uses_behavior:
        exchanged, back = (torch.from_numpy(order).to(llara.device) for order in (other, np.argsort(other)))
        yield _Change(
            "behavioral tokens of other items", "Each item keeps its text and gets another item's behavioral token.",
            task, lambda: _table(llara, llara.item_table[exchanged]),
        )  # fmt: skip
        yield _Change(
            "behavioral tokens of zeros", "The recommender's vectors say nothing.",
            task, lambda: _table(llara, torch.zeros_like(llara.item_table)),
        )  # fmt: skip
        yield _Change(
            "texts of other items", "Each item keeps its behavioral token and gets another item's text.",
            _with_history(task, other[task.examples.history]), lambda: _table(llara, llara.item_table[back]),
        )  # fmt: skip
    shuffled, latest = _shuffled(task.examples, rng), _latest(task.examples)
    yield _Change("history in another order", "The same items, shuffled.", _with_history(task, shuffled))
    yield _Change("the latest item alone", "All earlier items are left out.", _with_history(task, latest))
    if way != "sequence":
        for number in range(1, _ORDERS + 1):
            name, meaning = f"candidates in another order ({number})", "The same candidates, shuffled in the prompt."
            yield _Change(name, meaning, _reordered(task, rng))


@contextmanager
def _table(llara: Llara, table: torch.Tensor) -> Iterator[None]:
    """Within, behavioral tokens in prompts are made from this table; candidates are scored by their own vectors."""
    own = llara.item_table
    llara.item_table = table
    try:
        yield
    finally:
        llara.item_table = own


def _with_history(task: RankingTask, history: IntArray) -> RankingTask:
    examples = task.examples
    lengths = (history != 0).sum(axis=1)
    return replace(task, examples=Examples(history, lengths, examples.target, examples.user_index))


def _shuffled(examples: Examples, rng: np.random.Generator) -> IntArray:
    history = examples.history.copy()
    for row, length in zip(history, examples.history_length, strict=True):
        row[:length] = rng.permutation(row[:length])
    return history


def _latest(examples: Examples) -> IntArray:
    history = np.zeros_like(examples.history)
    history[:, 0] = examples.history[np.arange(len(history)), examples.history_length - 1]
    return history


def _reordered(task: RankingTask, rng: np.random.Generator) -> RankingTask:
    draws = []
    for draw in task.draws:
        order = rng.permuted(np.tile(np.arange(draw.items.shape[1]), (len(draw), 1)), axis=1)
        column = (order == draw.target_column[:, None]).argmax(axis=1)
        draws.append(replace(draw, items=np.take_along_axis(draw.items, order, axis=1), target_column=column))
    return replace(task, draws=tuple(draws))


def _of_rows(task: RankingTask, rows: IntArray) -> RankingTask:
    draws = tuple(replace(d, items=d.items[rows], target_column=d.target_column[rows]) for d in task.draws)
    users = [task.user_ids[row] for row in rows]
    return replace(task, examples=task.examples.select(rows), draws=draws, user_ids=users)


def _memory(llara: Llara, task: RankingTask, batch_size: int, listener: Listener) -> list[Probe]:
    """What the backbone answers without any training, by titles alone: high only where it has seen such histories."""
    settings = llara.config.backbone
    if settings.path == NANO:
        return []
    rows = np.linspace(0, len(task.examples) - 1, min(_MEMORY_ROWS, len(task.examples))).astype(np.int64)
    few = _of_rows(task.first_draws(1), rows)
    config = LlaraConfig(prompt=llara.config.prompt)
    backbone = BackboneConfig(path=settings.path, tuning="frozen", precision=settings.precision)
    untrained = Llara.from_backbone(backbone, llara.recommender, llara.catalog, config=config)
    untrained.uses_behavior = False
    with stage(listener, "asking the backbone without training", len(rows)) as advance:
        scores = _Model(untrained.eval(), "answer", batch_size, advance).scores(few)
    hits = _hits(scores, few.target_columns)
    blind = paired_test(hits, np.full(len(hits), 1 / few.candidate_items.shape[2]), users=few.users)
    meaning = "By titles alone, against a blind guess: what is above it was known before."
    return [Probe("the backbone without training", meaning, float(hits.mean()), blind, float("nan"), len(hits))]


def _hits(scores: FloatArray, columns: IntArray) -> FloatArray:
    """Share of draws with a hit, [N]."""
    ranks = np.array([target_ranks(drawn, column) for drawn, column in zip(scores, columns, strict=True)])
    return np.asarray((ranks == 1).mean(axis=0), dtype=np.float64)


def _first(task: RankingTask, scores: FloatArray) -> IntArray:
    """Item that each row's model puts first, [draws, N]."""
    best = scores.argmax(axis=2)[..., None]
    found: IntArray = np.take_along_axis(task.candidate_items, best, axis=2)[..., 0]
    return found


def _lead(scores: FloatArray, columns: IntArray) -> FloatArray:
    """The target's score minus the mean of the others', [draws, N]."""
    of_target = np.take_along_axis(scores, columns[..., None], axis=2)[..., 0]
    others = (scores.sum(axis=2) - of_target) / (scores.shape[2] - 1)
    return np.asarray(of_target - others, dtype=np.float64)


def _most_popular(task: RankingTask, split: Split) -> IntArray:
    """Column of the candidate with most training interactions, [draws, N]."""
    counts = np.bincount(split.train_sequences.items, minlength=len(task.item_ids))
    found: IntArray = counts[task.candidate_items].argmax(axis=2)
    return found
