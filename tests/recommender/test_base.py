"""Scoring, padding and causality of every recommender."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llara.data.examples import prefix_examples
from llara.data.sequences import Sequences
from llara.errors import ConfigError, DataError
from llara.recommender import (
    Caser,
    CaserConfig,
    Counts,
    Fusion,
    GRU4Rec,
    GRU4RecConfig,
    ImportedEmbeddings,
    Popularity,
    Recommender,
    RecommenderConfig,
    SASRec,
    SASRecConfig,
    SequentialRecommender,
    TextConfig,
    TextSASRec,
    TextSimilarity,
    build_recommender,
)
from llara.recommender.base import latest_items

NUM_ITEMS = 30
TEXTS = torch.randn(NUM_ITEMS + 1, 8, generator=torch.Generator().manual_seed(1))
SEQUENTIAL: dict[str, Callable[[], SequentialRecommender]] = {
    "sasrec": lambda: SASRec(NUM_ITEMS, SASRecConfig(max_length=12, heads=2), width=16),
    "gru4rec": lambda: GRU4Rec(NUM_ITEMS, GRU4RecConfig(max_length=12, layers=2, hidden_width=24), width=16),
    "caser": lambda: Caser(NUM_ITEMS, CaserConfig(max_length=12, window=5), width=16),
    "text-sasrec": lambda: TextSASRec(TEXTS, SASRecConfig(max_length=12), width=16),
    "text alone": lambda: TextSASRec(TEXTS, SASRecConfig(max_length=12), ids=False, width=16),
}
OTHERS: dict[str, Callable[[], Recommender]] = {
    "imported": lambda: ImportedEmbeddings(torch.randn(NUM_ITEMS + 1, 8, generator=torch.Generator().manual_seed(0))),
    "popularity": lambda: Popularity(torch.arange(NUM_ITEMS + 1)),
    "text": lambda: TextSimilarity(TEXTS, decay=0.7),
    "sharp text": lambda: TextSimilarity(TEXTS, decay=0.7, sharpness=10.0),
    "fusion": lambda: fusion_of_all(),  # noqa: PLW0108  it is defined below
}


def fusion_of_all() -> Fusion:
    """Three kinds of members, counted and weighed by a few rows."""
    sequences = Sequences.from_lists([[row + step * 3 for step in range(8)] for row in range(1, 9)])
    counts = Counts(NUM_ITEMS)
    counts.count(sequences)
    members = [SASRec(NUM_ITEMS, SASRecConfig(max_length=12), width=16), counts, TextSimilarity(TEXTS, decay=0.7)]
    fusion = Fusion(members, by_frequency=True)
    fusion.count(sequences)
    fusion.weigh(prefix_examples(sequences, history_length=6, min_history=1), seed=0)
    return fusion


def history_of(rows: list[list[int]], length: int) -> Tensor:
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


@pytest.fixture(params=[*SEQUENTIAL, *OTHERS])
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return {**SEQUENTIAL, **OTHERS}[request.param]().eval()


@pytest.fixture(params=[*SEQUENTIAL])
def sequential(request: pytest.FixtureRequest) -> SequentialRecommender:
    return SEQUENTIAL[request.param]().eval()


def test_shapes_are_as_documented(recommender: Recommender) -> None:
    history = history_of([[1, 2, 3], [4]], 5)
    assert recommender.encode(history).shape == (2, recommender.width)
    assert recommender.score(history, torch.tensor([[1, 2], [3, 4]])).shape == (2, 2)
    scores = recommender.score_all(history)
    assert scores.shape == (2, NUM_ITEMS + 1)
    assert torch.isneginf(scores[:, 0]).all()
    assert torch.isfinite(scores[:, 1:]).all()


def test_item_embeddings_are_a_detached_copy_with_a_zero_padding_row(recommender: Recommender) -> None:
    table = recommender.item_embeddings()
    assert table.shape == (NUM_ITEMS + 1, recommender.width)
    assert not table.requires_grad
    assert (table[0] == 0).all()
    before = recommender.score_all(history_of([[1, 2]], 2))
    table.zero_()
    assert torch.equal(recommender.score_all(history_of([[1, 2]], 2)), before)


def test_score_equals_gathered_score_all(recommender: Recommender) -> None:
    history = history_of([[1, 2, 3, 4, 5], [6, 7], []], 6)
    candidates = torch.tensor([[5, 9, 30], [1, 2, 0], [3, 1, 4]])
    expected = recommender.score_all(history).gather(1, candidates)
    torch.testing.assert_close(recommender.score(history, candidates), expected, rtol=1e-5, atol=1e-6)


def test_a_padded_batch_scores_as_its_rows_alone(recommender: Recommender) -> None:
    rows = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10, 11], [12, 13]]
    batch = recommender.score_all(history_of(rows, 9))
    alone = torch.cat([recommender.score_all(torch.tensor([row])) for row in rows])
    torch.testing.assert_close(batch, alone, rtol=1e-5, atol=1e-6)


def test_an_empty_history_scores_finite(recommender: Recommender) -> None:
    padded, empty = torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.int64)
    assert torch.isfinite(recommender.score_all(padded)[:, 1:]).all()
    assert torch.equal(recommender.score_all(padded), recommender.score_all(empty))


def test_future_items_do_not_change_earlier_states(sequential: SequentialRecommender) -> None:
    history = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    changed = history.clone()
    changed[0, 4:] = torch.tensor([20, 21, 22, 23])
    before, after = sequential.encode_all(history), sequential.encode_all(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-4)


def test_each_state_is_the_encoding_of_its_prefix(sequential: SequentialRecommender) -> None:
    history = torch.tensor([[3, 1, 4, 15, 9, 2, 6, 5, 30]])
    states = sequential.encode_all(history)[0]
    prefixes = torch.cat([sequential.encode(history[:, : end + 1]) for end in range(9)])
    torch.testing.assert_close(states, prefixes, rtol=1e-5, atol=1e-6)


def test_items_before_the_longest_history_are_ignored(sequential: SequentialRecommender) -> None:
    rows = [list(range(1, 31)), [7, 8, 9]]
    long = sequential.score_all(history_of(rows, 30))
    short = sequential.score_all(history_of([list(range(19, 31)), [7, 8, 9]], 12))
    torch.testing.assert_close(long, short, rtol=1e-5, atol=1e-6)


def test_latest_items_by_hand() -> None:
    history = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]])
    assert latest_items(history, 2).tolist() == [[3, 4], [5, 6], [8, 9]]
    assert latest_items(history, 4) is history


def test_the_seed_alone_decides_the_initial_weights(sequential: SequentialRecommender) -> None:
    config = RecommenderConfig(name=sequential.name, text=TextConfig(encoder=Path("given by the test")))
    torch.manual_seed(0)
    first = build_recommender(config, num_items=5, texts=TEXTS[:6])
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    second = build_recommender(config, num_items=5, texts=TEXTS[:6])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.item_embeddings(), second.item_embeddings())


def test_popularity_counts_by_hand() -> None:
    popularity = Popularity.from_sequences(Sequences.from_lists([[1, 2, 2], [2, 4]]), num_items=4)
    scores = popularity.score(torch.zeros(1, 0, dtype=torch.int64), torch.tensor([[1, 2, 3, 4]]))
    assert torch.expm1(scores).round().tolist() == [[1, 3, 0, 1]]


def test_popularity_tells_huge_neighbouring_counts_apart() -> None:
    scores = Popularity(torch.tensor([0, 100_000_000, 100_000_001])).score_all(torch.zeros(1, 1, dtype=torch.int64))
    assert scores[0, 2] > scores[0, 1]


def test_popularity_refuses_items_outside_the_catalog() -> None:
    with pytest.raises(DataError, match=r"1\.\.2, found 1\.\.3"):
        Popularity.from_sequences(Sequences.from_lists([[1, 3]]), num_items=2)


def test_imported_scores_are_cosines_with_the_mean_vector() -> None:
    imported = ImportedEmbeddings(torch.tensor([[9.0, 9.0], [2.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    scores = imported.score(torch.tensor([[1, 2]]), torch.tensor([[1, 2, 3]]))
    torch.testing.assert_close(scores, torch.tensor([[0.5**0.5, 0.5**0.5, 1.0]]))
    assert (imported.item_embeddings()[0] == 0).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, NUM_ITEMS), max_size=15), min_size=1, max_size=4), st.sampled_from([*SEQUENTIAL])
)
def test_padding_never_matters(rows: list[list[int]], name: str) -> None:
    recommender = SEQUENTIAL[name]().eval()
    with torch.inference_mode():
        tight = recommender.encode(history_of(rows, max(len(row) for row in rows)))
        loose = recommender.encode(history_of(rows, 18))
    np.testing.assert_allclose(tight.numpy(), loose.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: SASRecConfig(layers=0), "recommender.sasrec.layers must be >= 1, got 0"),
        (lambda: SASRecConfig(dropout=1.0), r"recommender.sasrec.dropout must be in \[0, 1\), got 1.0"),
        (lambda: GRU4RecConfig(hidden_width=0), "recommender.gru4rec.hidden_width"),
        (lambda: CaserConfig(window=0), "recommender.caser.window"),
        (
            lambda: SASRec(5, SASRecConfig(heads=3)),
            "recommender.sasrec.heads must divide recommender.embedding_dim = 64",
        ),
        (lambda: RecommenderConfig(sasrec=SASRecConfig(heads=5)), "recommender.sasrec.heads must divide"),
        (lambda: RecommenderConfig(embedding_dim=0), "recommender.embedding_dim must be >= 1"),
        (
            lambda: RecommenderConfig(name="bert4rec"),
            "recommender.name must be one of sasrec, gru4rec, caser, imported",
        ),
    ],
)
def test_bad_settings_are_refused_with_their_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()


@pytest.mark.parametrize("longest", [5, 15])
def test_scores_after_each_item_are_those_of_what_precedes(recommender: Recommender, longest: int) -> None:
    history = history_of([list(range(1, longest + 1)), [4, 9, 2]], longest)  # 15: more than the sequential ones read
    with torch.no_grad():
        found = recommender.score_each(history)
        expected = [
            recommender.score_all(history[row : row + 1, : place + 1])[0]
            for row, length in ((0, longest), (1, 3))
            for place in range(length)
        ]
        some = recommender.score_each(history, torch.tensor([7, 3]))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(some, found[:, [7, 3]], rtol=1e-4, atol=1e-5)
