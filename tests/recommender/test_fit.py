"""The fitting loop: it learns, stops, repeats itself and refuses nonsense."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch

from llara.data.examples import Examples, prefix_examples
from llara.data.sequences import Sequences
from llara.errors import ConfigError, DataError, DivergenceError
from llara.recommender import (
    EpochRecord,
    FitConfig,
    ImportedEmbeddings,
    Popularity,
    Recommender,
    RecommenderConfig,
    SASRec,
    SASRecConfig,
    build_recommender,
    fit_recommender,
    rank_in_catalog,
    rank_validation,
)

NUM_ITEMS = 12
Name = Literal["sasrec", "gru4rec", "caser"]
FAST = FitConfig(epochs=8, learning_rate=1e-2, batch_size=128, patience=8)


def cyclic_log(num_users: int, *, seed: int) -> Sequences:
    """Each user walks round the catalog from a random start: after item i comes i + 1."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, NUM_ITEMS, num_users), rng.integers(4, 16, num_users)
    rows = [[(start + step) % NUM_ITEMS + 1 for step in range(n)] for start, n in zip(starts, lengths, strict=True)]
    return Sequences.from_lists(rows)


@pytest.fixture
def validation() -> Examples:
    return prefix_examples(cyclic_log(20, seed=1), history_length=5, min_history=2)


def hit_ratio_at_1(recommender: Recommender, examples: Examples) -> float:
    with torch.inference_mode():
        best = recommender.score_all(torch.from_numpy(examples.history)).argmax(dim=1)
    return float((best.numpy() == examples.target).mean())


@pytest.mark.parametrize("name", ["sasrec", "gru4rec", "caser"])
@pytest.mark.parametrize("loss", ["softmax", "drawn-softmax", "bce"])
def test_a_cyclic_pattern_is_learned(
    name: Name, loss: Literal["softmax", "drawn-softmax", "bce"], validation: Examples
) -> None:
    fit = dataclasses.replace(FAST, loss=loss, num_negatives=4, num_drawn=6)
    recommender = build_recommender(RecommenderConfig(name=name, embedding_dim=16), num_items=NUM_ITEMS)
    report = fit_recommender(recommender, cyclic_log(100, seed=0), validation=validation, config=fit)
    assert hit_ratio_at_1(recommender, validation) > 0.9
    assert report.history[-1].loss < report.history[0].loss


def test_popularity_beats_random() -> None:
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 101)
    rows = rng.choice(np.arange(1, 101), size=(60, 12), p=share / share.sum()).tolist()
    popularity = Popularity.from_sequences(Sequences.from_lists(rows[:40]), num_items=100)
    validation = prefix_examples(Sequences.from_lists(rows[40:]), history_length=3, min_history=3)
    assert rank_validation(popularity, validation)[1] > 2 * 10 / 100


def small(seed: int = 0) -> SASRec:
    return SASRec(NUM_ITEMS, SASRecConfig(max_length=8), width=8, seed=seed)


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_the_same_seed_gives_the_same_weights(loss: Literal["softmax", "bce"], validation: Examples) -> None:
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        recommender = small()
        fit = FitConfig(epochs=2, loss=loss)
        fit_recommender(recommender, cyclic_log(40, seed=0), validation=validation, config=fit)
        weights.append(recommender.item_embeddings())
    assert torch.equal(*weights)


def test_fitting_leaves_the_global_random_state_alone(validation: Examples) -> None:
    state = torch.random.get_rng_state()
    fit_recommender(small(), cyclic_log(20, seed=0), validation=validation, config=FitConfig(epochs=1))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_best_epoch_is_kept_and_fitting_stops_after_it(validation: Examples) -> None:
    recommender = small()
    fit = FitConfig(epochs=40, learning_rate=0.3, patience=2)
    seen: list[EpochRecord] = []
    report = fit_recommender(
        recommender, cyclic_log(20, seed=0), validation=validation, config=fit, on_epoch=seen.append
    )
    assert tuple(seen) == report.history
    assert report.epochs_run == len(seen) == report.best_epoch + 2
    assert report.best_validation == max(record.validation_ndcg for record in seen)
    assert rank_validation(recommender, validation)[0] == report.best_validation
    assert not recommender.training


def test_validation_metrics_by_hand() -> None:
    popularity = Popularity(torch.tensor([0, 50, 40, 30, 30, 10]))
    history = np.array([[1, 0], [1, 2], [5, 5]])
    # Row 1: item 1 is seen, so 2 is first. Row 2: 3 ties with 4 and counts as behind it. Row 3: a repeated item stays.
    examples = Examples(history, np.array([1, 2, 2]), np.array([2, 3, 5]), np.arange(3))
    ndcg, hits = rank_validation(popularity, examples)
    assert rank_in_catalog(popularity, examples).tolist() == [1, 2, 5]
    assert hits == 1.0
    assert ndcg == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(6)) / 3)


def test_histories_longer_than_a_recommender_reads_leave_more_items_out() -> None:
    recommender = SASRec(NUM_ITEMS, SASRecConfig(max_length=2), width=8).eval()
    whole = np.array([[4, 5, 6, 7, 8, 9]])
    short, long = (
        Examples(rows, np.array([rows.shape[1]]), np.array([1]), np.arange(1)) for rows in (whole[:, 4:], whole)
    )
    with torch.inference_mode():
        scores = recommender.score_all(torch.from_numpy(whole))[0]
    ahead = [item for item in range(2, NUM_ITEMS + 1) if scores[item] >= scores[1]]
    assert rank_in_catalog(recommender, short).tolist() == [1 + len(set(ahead) - {8, 9})]
    assert rank_in_catalog(recommender, long).tolist() == [1 + len(set(ahead) - {4, 5, 6, 7, 8, 9})]
    assert set(ahead) & {4, 5, 6, 7}  # or the two ranks would be equal whatever the code does


def test_scores_that_are_not_numbers_never_count_as_hits() -> None:
    recommender = SASRec(NUM_ITEMS, width=8)
    with torch.no_grad():
        recommender.item_table.weight.fill_(float("nan"))
    examples = Examples(np.array([[1]]), np.array([1]), np.array([2]), np.arange(1))
    assert rank_validation(recommender, examples) == (0.0, 0.0)


def test_recommenders_without_weights_are_only_measured(validation: Examples) -> None:
    for recommender in (Popularity(torch.ones(NUM_ITEMS + 1)), ImportedEmbeddings(torch.eye(NUM_ITEMS + 1))):
        report = fit_recommender(recommender, cyclic_log(5, seed=0), validation=validation, config=FitConfig())
        assert (report.epochs_run, report.best_epoch, report.history) == (0, 0, ())


def test_a_diverging_loss_names_the_learning_rate(validation: Examples) -> None:
    recommender = small()
    with torch.no_grad():
        recommender.item_table.weight[1] = float("inf")
    with pytest.raises(DivergenceError, match=r"epoch 1: .*Lower recommender.fit.learning_rate \(now 0.001\)"):
        fit_recommender(recommender, cyclic_log(20, seed=0), validation=validation, config=FitConfig(epochs=1))


def test_weights_that_the_last_step_broke_are_refused_though_the_loss_was_finite(validation: Examples) -> None:
    one_batch = FitConfig(epochs=1, batch_size=10_000, learning_rate=1e39)
    recommender = small()
    before = recommender.item_embeddings()
    with pytest.raises(DivergenceError, match=r"epoch 1: weight '.*' of sasrec holds NaN or infinity"):
        fit_recommender(recommender, cyclic_log(5, seed=0), validation=validation, config=one_batch)
    assert torch.equal(recommender.item_embeddings(), before)


def test_epochs_are_told_to_the_caller_and_not_to_the_log(
    validation: Examples, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[EpochRecord] = []
    with caplog.at_level("INFO", logger="llara"):
        fit_recommender(
            small(), cyclic_log(20, seed=0), validation=validation, config=FitConfig(epochs=2), on_epoch=seen.append
        )
    assert [record.epoch for record in seen] == [1, 2]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("rows", "keep", "message"),
    [
        ([[1], [2]], 5, "no user with two or more items"),
        ([[1, 2, 13]], 5, r"training item indices must be in 1\.\.12, found 1\.\.13"),
        ([[1, 2, 3]], 0, "no validation rows"),
    ],
)
def test_data_that_cannot_be_fitted_is_refused(
    rows: list[list[int]], keep: int, message: str, validation: Examples
) -> None:
    with pytest.raises(DataError, match=message):
        fit_recommender(
            small(), Sequences.from_lists(rows), validation=validation.select(np.arange(keep)), config=FitConfig()
        )


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: FitConfig(epochs=0), "recommender.fit.epochs must be >= 1, got 0"),
        (lambda: FitConfig(learning_rate=0.0), "recommender.fit.learning_rate must be"),
        (lambda: FitConfig(learning_rate=float("nan")), "recommender.fit.learning_rate must be"),
        (lambda: FitConfig(l2=-1.0), "recommender.fit.l2 must be"),
        (lambda: FitConfig(seed=-1), "recommender.fit.seed must be >= 0"),
        (lambda: FitConfig(loss="hinge"), "loss must be one of softmax, drawn-softmax, bce, got 'hinge'"),  # type: ignore[arg-type]
    ],
)
def test_bad_fit_settings_are_refused_with_their_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()
