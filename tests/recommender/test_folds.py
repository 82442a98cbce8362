"""Folds of users, and what recommenders that did not see a row's user think of its candidates."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llara.data.examples import Examples, prefix_examples
from llara.data.sequences import Sequences
from llara.errors import ConfigError
from llara.recommender import (
    FitConfig,
    ImportedEmbeddings,
    SASRec,
    SASRecConfig,
    fit_without_fold,
    fold_of_users,
)
from llara.recommender.folds import FoldRecommenders

NUM_ITEMS = 12
FIT = FitConfig(epochs=2, batch_size=32)


@given(
    users=st.lists(st.integers(0, 10_000), min_size=2, max_size=60, unique=True),
    folds=st.integers(2, 8),
    seed=st.integers(0, 99),
)
def test_every_user_has_one_fold_and_folds_are_balanced_and_seeded(users: list[int], folds: int, seed: int) -> None:
    if len(users) < folds:
        with pytest.raises(ConfigError, match=f"at most the number of training users, {len(users)}, got {folds}"):
            fold_of_users(np.array(users), folds=folds, seed=seed)
        return
    dealt = fold_of_users(np.array(users), folds=folds, seed=seed)
    assert set(dealt) == set(users)
    sizes = Counter(dealt.values())
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert fold_of_users(np.array(users), folds=folds, seed=seed) == dealt


def test_another_seed_deals_otherwise_and_the_order_of_users_is_no_pattern() -> None:
    users = np.arange(60)
    first, second = (fold_of_users(users, folds=3, seed=seed) for seed in (0, 1))
    assert first != second
    dealt = np.array([first[user] for user in range(60)])
    assert dealt.tolist() != (users % 3).tolist()
    assert 5 < (dealt[1:] == dealt[:-1]).sum() < 35


@pytest.fixture
def folds() -> FoldRecommenders:
    """Three recommenders of quite different opinions; users 10 to 15 in folds of two."""
    recommenders = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        recommenders.append(ImportedEmbeddings(torch.randn(NUM_ITEMS + 1, 4, generator=generator)))
    return FoldRecommenders(recommenders, {10: 0, 11: 1, 12: 2, 13: 0, 14: 1, 15: 2})


def rows(users: list[int]) -> tuple[Examples, np.ndarray]:
    """A row per user with histories of 1 to 3 items, and 4 candidates each."""
    rng = np.random.default_rng(len(users))
    items = np.stack([rng.permutation(NUM_ITEMS)[:7] + 1 for _ in users])
    lengths = rng.integers(1, 4, size=len(users))
    history = np.where(np.arange(3) < lengths[:, None], items[:, :3], 0)
    return Examples(history, lengths, items[:, 3], np.array(users)), items[:, 3:]


@pytest.mark.parametrize("users", [[10, 11, 12, 13, 14, 15], [12, 12, 11], [10], [15, 10, 14, 10, 11]])
def test_each_row_is_judged_by_the_recommender_that_was_fitted_without_its_user(
    users: list[int], folds: FoldRecommenders
) -> None:
    examples, candidates = rows(users)
    found = folds.log_probs(examples, candidates)
    assert found.shape == candidates.shape
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(len(users)))
    for row, user in enumerate(users):
        history = torch.tensor([examples.histories()[row]])
        items = torch.from_numpy(candidates[row : row + 1])
        judged = [recommender.score(history, items).log_softmax(dim=1)[0] for recommender in folds.recommenders]
        torch.testing.assert_close(found[row], judged[folds.fold_of_user[user]])
        others = [judgment for fold, judgment in enumerate(judged) if fold != folds.fold_of_user[user]]
        assert not any(torch.allclose(found[row], judgment, atol=1e-3) for judgment in others)


def test_judgments_need_no_gradient_and_padding_has_no_probability(folds: FoldRecommenders) -> None:
    examples, candidates = rows([10, 11])
    candidates[0, 3] = 0
    fitted = [SASRec(NUM_ITEMS, SASRecConfig(max_length=8), width=8, seed=seed) for seed in range(2)]
    found = FoldRecommenders(fitted, folds.fold_of_user).log_probs(examples, candidates)
    assert not found.requires_grad
    assert float(found[0, 3]) == float("-inf")
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(2))


def test_a_user_without_fold_is_our_own_mistake(folds: FoldRecommenders) -> None:
    with pytest.raises(KeyError, match="99"):
        folds.log_probs(*rows([10, 99]))


FOLD_OF_USER = {7: 0, 8: 1, 9: 0, 20: 1, 21: 1, 22: 0}


def logs(changed_user: int | None = None) -> Sequences:
    """Six users with walks round the catalog; one of them walks backwards."""
    walks = {user: [(user + step) % NUM_ITEMS + 1 for step in range(9)] for user in FOLD_OF_USER}
    if changed_user is not None:
        walks[changed_user] = walks[changed_user][::-1]
    return Sequences.from_lists(list(walks.values()), list(walks))


@pytest.fixture
def fit_without() -> Callable[[int, Sequences], dict[str, torch.Tensor]]:
    """The weights after fitting without a fold."""
    validation = prefix_examples(
        Sequences.from_lists([[step % NUM_ITEMS + 1 for step in range(6)]], [50]), history_length=5, min_history=2
    )

    def fit(fold: int, sequences: Sequences) -> dict[str, torch.Tensor]:
        recommender, report = fit_without_fold(
            SASRec(NUM_ITEMS, SASRecConfig(max_length=8), width=8, seed=0), sequences,
            fold=fold, fold_of_user=FOLD_OF_USER, validation=validation, config=FIT,
        )  # fmt: skip
        assert report.epochs_run == FIT.epochs
        return recommender.state_dict()

    return fit


def same(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, others[name]) for name, value in weights.items())


@pytest.mark.parametrize("fold", [0, 1])
def test_fitting_without_a_fold_never_sees_its_users(
    fold: int, fit_without: Callable[[int, Sequences], dict[str, torch.Tensor]]
) -> None:
    weights = fit_without(fold, logs())
    for user, its_fold in FOLD_OF_USER.items():
        assert same(weights, fit_without(fold, logs(changed_user=user))) == (its_fold == fold)


def test_fitting_without_a_fold_is_fitting_on_the_others(
    fit_without: Callable[[int, Sequences], dict[str, torch.Tensor]],
) -> None:
    kept = np.array([place for place, fold in enumerate(FOLD_OF_USER.values()) if fold != 1])
    assert same(fit_without(1, logs()), fit_without(1, logs().select(kept)))
    assert not same(fit_without(1, logs()), fit_without(0, logs()))
