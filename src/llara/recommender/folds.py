"""What recommenders think of rows that they were not fitted on: one recommender per fold of the training users."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llara.data.examples import Examples
from llara.data.sequences import IntArray, Sequences
from llara.errors import ConfigError
from llara.recommender.base import Recommender
from llara.recommender.fit import EpochRecord, FitConfig, FitReport, fit_recommender

_STREAM = 0xF01D


def fold_of_users(users: IntArray, *, folds: int, seed: int) -> dict[int, int]:
    """Deal users into folds at random; their sizes differ by at most one.

    Args:
        users: Distinct user indices.
        folds: How many, >= 2.
        seed: Same seed and users, same folds.

    Raises:
        ConfigError: If there are fewer users than folds.
    """
    if len(users) < folds:
        raise ConfigError(f"prior_folds must be at most the number of training users, {len(users)}, got {folds}")
    dealt = np.random.default_rng([seed, _STREAM]).permutation(len(users)) % folds
    return dict(zip(users.tolist(), dealt.tolist(), strict=True))


@dataclass(frozen=True)
class FoldRecommenders:
    """Recommenders that were each fitted without the users of one fold.

    Attributes:
        recommenders: One per fold, all over the same catalog.
        fold_of_user: Fold of each training user, by user index.
    """

    recommenders: Sequence[Recommender]
    fold_of_user: dict[int, int]

    @torch.no_grad()
    def log_probs(self, examples: Examples, candidates: IntArray) -> Tensor:
        """Log-probability of each candidate among those shown, by the recommender that does not know the row's user.

        Args:
            examples: Rows of training users, [B].
            candidates: Item indices, [B, C].

        Returns:
            Natural logarithms, [B, C].
        """
        history, items = torch.from_numpy(examples.history), torch.from_numpy(candidates)
        scores = torch.zeros(items.shape)
        for recommender, rows in self._by_fold(examples.user_index):
            found = recommender.score(history[rows].to(recommender.device), items[rows].to(recommender.device))
            scores[rows] = found.float().cpu()
        return scores.log_softmax(dim=-1)

    @torch.no_grad()
    def score_each(self, users: IntArray, history: Tensor, items: Tensor | None = None) -> Tensor:
        """As `Recommender.score_each`, by the recommender that does not know the row's user.

        Args:
            users: The user of each row, by index, [B].
            history: Item indices, oldest first, padded with 0 on the right, [B, L].
            items: As in `Recommender.score_each`.
        """
        place = torch.zeros(history.shape, dtype=torch.long)
        real = history != 0
        place[real] = torch.arange(int(real.sum()))
        scores = torch.zeros(int(real.sum()), self.recommenders[0].num_items + 1 if items is None else len(items))
        for recommender, rows in self._by_fold(users):
            asked = None if items is None else items.to(recommender.device)
            found = recommender.score_each(history[rows].to(recommender.device), asked)
            scores[place[rows][real[rows]]] = found.float().cpu()
        return scores

    def _by_fold(self, users: IntArray) -> Iterator[tuple[Recommender, Tensor]]:
        """Each recommender with the rows that it may judge, where there are any."""
        fold = np.array([self.fold_of_user[user] for user in users.tolist()])
        for number, recommender in enumerate(self.recommenders):
            rows = torch.from_numpy(np.flatnonzero(fold == number))
            if len(rows):
                yield recommender, rows


def fit_without_fold(
    recommender: Recommender,
    sequences: Sequences,
    *,
    fold: int,
    fold_of_user: dict[int, int],
    validation: Examples,
    config: FitConfig,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> tuple[Recommender, FitReport]:
    """Fit a recommender, in place, on all training users but those of one fold.

    Args:
        recommender: Not yet fitted.
        sequences: Sequences of the training users.
        fold: Whose users are left out.
        fold_of_user: From `fold_of_users`.
        validation: Rows that stop the fitting; of held-out users, as for the recommender itself.
        config: Settings.
        on_epoch: Called after each epoch.
    """
    kept = [place for place, user in enumerate(sequences.user_index.tolist()) if fold_of_user[user] != fold]
    some = sequences.select(np.array(kept, dtype=np.int64))
    report = fit_recommender(recommender, some, validation=validation, config=config, on_epoch=on_epoch)
    return recommender, report
