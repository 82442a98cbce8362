"""A data set without any leak, and the means to make one with exactly one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data import (
    CandidateSet,
    Dataset,
    Examples,
    Split,
    SplitConfig,
    load_dataset,
    sample_candidates,
    split_dataset,
    write_dataset,
)
from llara.leakage import LeakageFinding, check_leakage

NUM_USERS, NUM_ITEMS, PER_USER = 200, 150, 12

Build = Callable[..., Dataset]
Check = Callable[..., LeakageFinding]


@pytest.fixture
def log() -> pl.DataFrame:
    """Users who choose distinct items at random; each begins, and ends, later than the one before."""
    rng = np.random.default_rng(7)
    frames = [
        pl.DataFrame(
            {
                "user_id": [f"u{user}"] * PER_USER,
                "item_id": 1000 + rng.permutation(NUM_ITEMS)[:PER_USER],
                "timestamp": 1000 * user + 5001 * np.arange(PER_USER),
            }
        )
        for user in range(NUM_USERS)
    ]
    return pl.concat(frames)


@pytest.fixture
def items() -> pl.DataFrame:
    """Items in no order, with metadata that knows nothing of the log."""
    rng = np.random.default_rng(8)
    ids = 1000 + rng.permutation(NUM_ITEMS)
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"Title {number}" for number in ids],
            "year": rng.integers(1980, 2000, NUM_ITEMS),
            "genres": [["Comedy", "Drama", "Comedy|Drama", None][place] for place in rng.integers(0, 4, NUM_ITEMS)],
            "rating": rng.random(NUM_ITEMS),
        }
    )


@pytest.fixture
def build(tmp_path: Path, log: pl.DataFrame, items: pl.DataFrame) -> Build:
    """Write and load a data set: the clean one, or with another log, other items, or an origin."""

    def make(
        log: pl.DataFrame = log,
        items: pl.DataFrame = items,
        *,
        origin: dict[str, object] | None = None,
        rows: pl.DataFrame | None = None,
        seed: int = 0,
    ) -> Dataset:
        folder = tmp_path / "data"
        write_dataset(
            folder, interactions=log, items=items, name="made", noun="item", origin=origin or {}, rows=rows, force=True
        )
        return load_dataset(folder, seed=seed)

    return make


@pytest.fixture
def clean(build: Build) -> Dataset:
    return build()


@pytest.fixture
def split(clean: Dataset) -> Split:
    return split_dataset(clean, SplitConfig())


@pytest.fixture
def check() -> Check:
    """One check's finding on a data set."""

    def find(
        name: str,
        dataset: Dataset,
        split: Split | str | None = "users",
        *,
        examples: Examples | None = None,
        candidates: list[CandidateSet] | None = None,
        **options: object,
    ) -> LeakageFinding:
        if isinstance(split, str):
            split = split_dataset(dataset, SplitConfig(method=split))  # type: ignore[arg-type]
        if candidates is None and split is not None:
            candidates = draws(examples or split.test, dataset, count=2)
        findings = check_leakage(dataset, split, examples=examples, candidates=candidates or [], **options)  # type: ignore[arg-type]
        (found,) = [finding for finding in findings if finding.name == name]
        return found

    return find


def draws(examples: Examples, dataset: Dataset, *, count: int, seed: int = 0) -> list[CandidateSet]:
    """Candidate sets without anything that the row's user touched."""
    return [
        sample_candidates(
            examples,
            num_items=dataset.catalog.num_items,
            num_negatives=9,
            seed=seed,
            draw=draw,
            touched=dataset.log.sequences,
        )
        for draw in range(count)
    ]
