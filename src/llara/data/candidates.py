"""Candidate sets: the items among which a target is ranked, drawn once per seed, stored and hashed."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from llara.data.catalog import Catalog
from llara.data.examples import Examples
from llara.data.files import write_atomically
from llara.data.limits import NonNegativeInt, PositiveInt, check_limits
from llara.data.negatives import FloatArray, Forbidden, draw_negatives, row_keys, shuffled_columns
from llara.data.sequences import IntArray, Sequences
from llara.data.tables import read_parquet
from llara.errors import DataError

_HASH_KEY = b"llara.sha256"


@dataclass(frozen=True)
class CandidateSet:
    """The items each example is ranked against.

    Attributes:
        items: Item indices, target and negatives in shuffled order, no item twice in a row, shape [B, C].
        target_column: Column of the target in each row, shape [B].
    """

    items: IntArray
    target_column: IntArray

    def __len__(self) -> int:
        return len(self.target_column)

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: equal only for the same items in the same order."""
        shape = np.array(self.items.shape, dtype="<i8")
        digest = hashlib.sha256(shape.tobytes())
        digest.update(np.ascontiguousarray(self.items, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.target_column, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class CandidateConfig:
    """Which items a target is ranked against."""

    num_negatives: PositiveInt = 19
    """Unseen items beside the target, >= 1."""
    sampling: Literal["uniform", "popularity"] = "uniform"
    """"uniform" (the paper's), or in proportion to the items' training interactions."""
    exclude: Literal["visible", "touched"] = "visible"
    """What is no negative: the visible history (the paper's), or everything that the user ever touched."""
    draws: PositiveInt = 20
    """Independent candidate sets per example over which an evaluation averages, >= 1."""
    seed: NonNegativeInt = 0
    """Source of all draws, >= 0."""

    def __post_init__(self) -> None:
        check_limits(self, "data.candidates")


def sample_candidates(
    examples: Examples,
    *,
    num_items: int,
    num_negatives: int,
    seed: int,
    draw: int = 0,
    weights: FloatArray | None = None,
    touched: Sequences | None = None,
    row_numbers: IntArray | None = None,
) -> CandidateSet:
    """Build the set of items each example is ranked against.

    A row's candidates are a pure function of (seed, draw, row number) and of the row itself: other rows, their order
    and the batch have no influence. The target's column depends on (seed, draw, row number) alone, never on the target.

    Args:
        examples: Targets and visible histories.
        num_items: Catalog size without padding.
        num_negatives: Negatives per example, >= 1 (19 for 20-way ranking).
        seed: Source of all draws, >= 0.
        draw: Number of the draw, >= 0: an epoch, or one of several evaluation draws.
        weights: Relative probability of each item index, shape [num_items + 1], entry 0 is 0. None: uniform.
        touched: Sequences by user of items that are no negatives either; they hold everything those users touched.
        row_numbers: Names of the rows in the stream of draws, shape [B]. None: 0, 1, 2, ...

    Returns:
        Candidates [B, 1 + num_negatives] and the target's column [B].

    Raises:
        DataError: If a row has fewer unseen items than `num_negatives`.

    Source:
        Protocol of LLaRA (arXiv:2312.02445): 19 uniform negatives that are not in the visible history. Deviation: its
        code redraws negatives on every read; here one (seed, draw) always gives the same sets.
    """
    rows = np.arange(len(examples)) if row_numbers is None else row_numbers
    keys = row_keys(rows, seed=seed, draw=draw)
    forbidden = Forbidden.of(examples, num_items=num_items, touched=touched)
    negatives = draw_negatives(
        keys, forbidden, num_items=num_items, num_negatives=num_negatives, weights=weights, row_numbers=rows
    )
    order = shuffled_columns(keys, num_negatives + 1)  # [B, C]
    unshuffled = np.concatenate([examples.target[:, None], negatives], axis=1)
    return CandidateSet(np.take_along_axis(unshuffled, order, axis=1), np.argmin(order, axis=1))


def draw_candidates(
    examples: Examples,
    config: CandidateConfig,
    *,
    num_items: int,
    train_sequences: Sequences,
    all_sequences: Sequences,
    draw: int = 0,
) -> CandidateSet:
    """Candidates as configured.

    Args:
        examples: Rows of one part of a split; their positions number the rows.
        config: Sampling, exclusion, seed.
        num_items: Catalog size without padding.
        train_sequences: Give the popularity; nothing else is learned from them.
        all_sequences: Everything that every user touched, for `exclude="touched"`.
        draw: Number of the draw, >= 0.
    """
    return sample_candidates(
        examples,
        num_items=num_items,
        num_negatives=config.num_negatives,
        seed=config.seed,
        draw=draw,
        weights=popularity_weights(train_sequences, num_items=num_items) if config.sampling == "popularity" else None,
        touched=all_sequences if config.exclude == "touched" else None,
    )


def popularity_weights(sequences: Sequences, *, num_items: int) -> FloatArray:
    """How often each item index occurs, shape [num_items + 1]; items that never do are never drawn."""
    return np.bincount(sequences.items, minlength=num_items + 1).astype(np.float64)


def write_candidates(
    path: Path, candidates: CandidateSet, *, examples: Examples | None = None, catalog: Catalog | None = None
) -> str:
    """Write candidate sets as Parquet, with the hash of their content in the file's metadata.

    Args:
        path: The file.
        candidates: What to write.
        examples: Adds a column `user_index`.
        catalog: Adds a column `item_ids`, the same candidates by the source's identifiers.

    Returns:
        The hash of the content.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (slow to import, needed by few)

    columns: dict[str, object] = {"items": candidates.items.tolist(), "target_column": candidates.target_column}
    if examples is not None:
        columns["user_index"] = examples.user_index
    if catalog is not None:
        columns["item_ids"] = [[catalog.item_ids[item] for item in row] for row in candidates.items]
    table = pl.DataFrame(columns).to_arrow().replace_schema_metadata({_HASH_KEY: candidates.sha256.encode()})
    write_atomically(path, lambda partial: pq.write_table(table, partial))
    return candidates.sha256


def read_candidates(path: Path) -> CandidateSet:
    """Read candidate sets and verify their hash.

    Raises:
        DataError: If the file is missing, is no candidates file, or was changed.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  (slow to import, needed by few)

    frame = read_parquet(path)
    expected = (pq.read_schema(path).metadata or {}).get(_HASH_KEY, b"").decode()
    if not expected or not {"items", "target_column"} <= set(frame.columns):
        raise DataError(f"{path} holds no candidate sets. Draw them again with `llara evaluate`.")
    items = frame["items"].to_list()
    candidates = CandidateSet(np.array(items, dtype=np.int64), frame["target_column"].to_numpy().astype(np.int64))
    if candidates.sha256 != expected:
        raise DataError(f"{path} was changed: its sha256 is not the {expected[:12]}... written with it. Draw it again.")
    return candidates
