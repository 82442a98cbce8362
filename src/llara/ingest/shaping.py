"""Shaping a log before it becomes a dataset folder: which interactions count, and in which order ties stand."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl

from llara.errors import ConfigError, DataError

Repeats = Literal["keep", "first", "last"]
Ties = Literal["file", "shuffle"]


@dataclass(frozen=True, kw_only=True)
class ShapeConfig:
    """What of a log becomes part of a data set. Applied in the order of the fields; `dataset.json` records them all."""

    min_rating: float | None = None
    """Keep interactions that are rated at least this."""
    repeats: Repeats = "keep"
    """Several interactions of a user with one item: "keep" them all, or only the "first" or the "last" in time."""
    core: int = 1
    """Keep users and items with at least this many interactions, again and again until all have them; 5: "5-core"."""
    min_length: int = 1
    """Then leave out users with fewer interactions than this."""
    max_length: int | None = None
    """Keep the latest this many interactions of each user."""
    ties: Ties = "file"
    """Order of equal times: the "file"'s, or a "shuffle" where the file's order gives the items' order away."""
    seed: int = 0
    """Seed of the shuffle."""
    used_items_only: bool | None = None
    """Leave items without any interaction out of the catalog; None: as the source does, and where `core` > 1."""

    def __post_init__(self) -> None:
        for name, choice, allowed in (
            ("--repeats", self.repeats, get_args(Repeats)),
            ("--ties", self.ties, get_args(Ties)),
        ):
            if choice not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {choice!r}.")
        for name, value in (
            ("--core", self.core),
            ("--min-length", self.min_length),
            ("--max-length", self.max_length),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ConfigError(f"--max-length {self.max_length} is smaller than --min-length {self.min_length}.")

    def recorded(self) -> dict[str, object]:
        """All options with their values, for `dataset.json`."""
        return asdict(self)


def shape_interactions(log: pl.DataFrame, config: ShapeConfig, *, source: str) -> pl.DataFrame:
    """The interactions that count, ties in the configured order.

    Args:
        log: `user_id`, `item_id`, `timestamp`, and `rating` where `min_rating` is asked for; rows in the file's order.
        config: What to keep.
        source: Name of the file, for messages.

    Raises:
        DataError: If nothing is left, or `min_rating` is asked for without a rating.
    """
    if config.min_rating is not None:
        if "rating" not in log.columns:
            raise ConfigError("--min-rating needs a rating column; name it with --rating.")
        log = log.filter(pl.col("rating") >= config.min_rating)
        _refuse_nothing(log, source, f"is rated at least {config.min_rating}. Lower --min-rating.")
    if config.ties == "shuffle":
        log = _with_shuffled_ties(log, config.seed)
    if config.repeats != "keep":
        log = _in_time_order(log).unique(["user_id", "item_id"], keep=config.repeats, maintain_order=True)
    if config.core > 1:
        log = _core(log, config.core)
        _refuse_nothing(log, source, f"is left by --core {config.core}. Lower it.")
    if config.min_length > 1:
        log = log.filter(pl.len().over("user_id") >= config.min_length)
        _refuse_nothing(log, source, f"is of a user with {config.min_length}. Lower --min-length.")
    if config.max_length is not None:
        log = _in_time_order(log)
        log = log.filter(pl.int_range(pl.len(), 0, -1).over("user_id") <= config.max_length)
    return log


def _core(log: pl.DataFrame, least: int) -> pl.DataFrame:
    while True:
        kept = log.filter((pl.len().over("user_id") >= least) & (pl.len().over("item_id") >= least))
        if len(kept) == len(log):
            return kept
        log = kept


def _with_shuffled_ties(log: pl.DataFrame, seed: int) -> pl.DataFrame:
    """In time order; what happened at the same time stands in a seeded random order."""
    return _in_time_order(log[np.random.default_rng(seed).permutation(len(log))])


def _in_time_order(log: pl.DataFrame) -> pl.DataFrame:
    return log.sort("timestamp", maintain_order=True)


def _refuse_nothing(log: pl.DataFrame, source: str, reason: str) -> None:
    if len(log) == 0:
        raise DataError(f"{source}: no interaction {reason}")
