"""The one loop that fits every recommender."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llara.data.examples import Examples
from llara.data.limits import NonNegativeInt, NonNegativeNumber, PositiveInt, PositiveNumber, check_limits
from llara.data.sequences import IntArray, Sequences
from llara.errors import DataError, DivergenceError
from llara.recommender.base import Recommender, SequentialRecommender
from llara.recommender.device import best_device
from llara.recommender.drawn import losses_among_drawn
from llara.recommender.windows import batch_windows, cut_windows

logger = logging.getLogger(__name__)

_VALIDATION_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a recommender is fitted. Learning rate, batch and optimizer (Adam) are LLaRA's (arXiv:2312.02445)."""

    epochs: PositiveInt = 50
    """Most passes over the training sequences, >= 1."""
    batch_size: PositiveInt = 256
    """Targets (next items) per optimizer step, >= 1."""
    learning_rate: PositiveNumber = 1e-3
    """Step size of Adam, > 0."""
    l2: NonNegativeNumber = 1e-5
    """Weight of the L2 penalty, >= 0. LLaRA searches 1e-3 .. 1e-7."""
    loss: Literal["softmax", "drawn-softmax", "bce"] = "softmax"
    """Cross-entropy over the whole catalog, or over `num_drawn` items drawn in each step, with the correction for
    drawing (several times faster from 10,000 items on), or binary cross-entropy against sampled negatives."""
    num_drawn: PositiveInt = 1024
    """Items drawn in each step of the drawn softmax, >= 1; the whole catalog where that has no more."""
    num_negatives: PositiveInt = 1
    """Negatives per target of the binary loss, >= 1."""
    patience: PositiveInt = 10
    """Epochs without a better validation NDCG@10 after which fitting stops, >= 1. Few validation rows need more."""
    seed: NonNegativeInt = 0
    """Seed of the initial weights, the order of batches, dropout and negatives, >= 0."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.fit")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        loss: Mean training loss per target.
        validation_ndcg: NDCG@10 of the targets among the catalog without the history's items.
        validation_hit_ratio: HR@10 of the same ranking.
        seconds: Time since fitting began.
    """

    epoch: int
    loss: float
    validation_ndcg: float
    validation_hit_ratio: float
    seconds: float


@dataclass(frozen=True)
class FitReport:
    """What fitting did.

    Attributes:
        epochs_run: Epochs until the end or the early stop; 0 for a recommender that has nothing to learn.
        best_epoch: The epoch whose weights were kept; 0 if none ran.
        best_validation: Its NDCG@10 in the full ranking of the validation targets.
        seconds: Time it all took.
        history: A record per epoch.
    """

    epochs_run: int
    best_epoch: int
    best_validation: float
    seconds: float
    history: tuple[EpochRecord, ...]


_NO_EPOCH = EpochRecord(0, math.inf, -1.0, -1.0, 0.0)


def fit_recommender(
    recommender: Recommender,
    sequences: Sequences,
    *,
    validation: Examples,
    config: FitConfig,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    device: torch.device | None = None,
) -> FitReport:
    """Fit until the validation metric stops rising; leaves the best epoch's weights in the recommender.

    The same seed, data and number of threads give the same weights. The recommender ends in evaluation mode. One that
    has nothing to learn (imported embeddings, popularity) is only measured.

    Args:
        recommender: Fitted in place; it ends where it was, on the CPU as a rule.
        sequences: Training users' items, oldest first.
        validation: Histories and targets of other users or later times. With one row per user the best epoch is a
            matter of luck: on MovieLens-100K (94 users) every position of them (`prefix_examples`) gives a better one.
        config: Settings.
        on_epoch: Called after each epoch.
        device: Where to fit; None: where language models go, the GPU if there is one.

    Raises:
        DataError: If there is nothing to train or validate on, or an item index is outside the catalog.
        DivergenceError: If the loss or a weight stops being finite; the recommender holds its best epoch's weights.
    """
    _refuse_misfit(recommender, sequences, validation)
    start = time.perf_counter()
    reports = [
        fit_recommender(part, sequences, validation=validation, config=config, on_epoch=on_epoch, device=device)
        for part in recommender.parts
    ]
    recommender.count(sequences)
    recommender.weigh(validation, seed=config.seed)
    if not isinstance(recommender, SequentialRecommender):
        ndcg, _ = rank_validation(recommender, validation)
        return _report_of_parts(reports, ndcg, time.perf_counter() - start)
    if not (sequences.lengths > 1).any():
        raise DataError("the training sequences hold no user with two or more items; nothing can be learned from them.")
    records: list[EpochRecord] = []
    home = recommender.device
    recommender.to(device or best_device())
    best, best_weights = _NO_EPOCH, copy.deepcopy(recommender.state_dict())
    with torch.random.fork_rng(devices=_cuda_devices(recommender)):
        torch.manual_seed(config.seed)
        try:
            for epoch, loss in enumerate(_train_epochs(recommender, sequences, config), start=1):
                ndcg, hit_ratio = rank_validation(recommender, validation)
                record = EpochRecord(epoch, loss, ndcg, hit_ratio, time.perf_counter() - start)
                records.append(record)
                _report(recommender, record, on_epoch)
                if ndcg > best.validation_ndcg:
                    best, best_weights = record, copy.deepcopy(recommender.state_dict())
                if epoch - best.epoch >= config.patience:
                    break
        finally:
            recommender.load_state_dict(best_weights)
            recommender.eval().to(home)
    return FitReport(len(records), best.epoch, best.validation_ndcg, time.perf_counter() - start, tuple(records))


def _report_of_parts(reports: list[FitReport], ndcg: float, seconds: float) -> FitReport:
    """Of what is not fitted by gradient itself: the epochs are those of the part that took the most."""
    longest = max(reports, key=lambda report: report.epochs_run, default=FitReport(0, 0, ndcg, seconds, ()))
    history = tuple(record for report in reports for record in report.history)
    return FitReport(longest.epochs_run, longest.best_epoch, ndcg, seconds, history)


def rank_validation(recommender: Recommender, examples: Examples) -> tuple[float, float]:
    """NDCG@10 and HR@10 of the ranks of `rank_in_catalog`. Leaves the recommender in evaluation mode."""
    ranks = rank_in_catalog(recommender, examples)
    hit = ranks <= 10
    return float((hit / np.log2(ranks + 1.0)).mean()), float(hit.mean())


def rank_in_catalog(recommender: Recommender, examples: Examples) -> IntArray:
    """Rank of each target among the whole catalog without the history's other items, 1 is best, [N].

    Items that score equal to the target count as ranked before it, and so do those that score NaN. Leaves the
    recommender in evaluation mode.

    Args:
        recommender: Reads as many of the latest items of each history as it can.
        examples: What the histories show is left out, so histories longer than the recommender reads leave out more.
    """
    recommender.eval()
    device = recommender.device
    ranks = np.empty(len(examples), dtype=np.int64)
    with torch.inference_mode():
        for begin in range(0, len(examples), _VALIDATION_BATCH):
            block = slice(begin, begin + _VALIDATION_BATCH)
            history = torch.from_numpy(examples.history[block]).to(device)
            target = torch.from_numpy(examples.target[block]).to(device).unsqueeze(1)
            scores = recommender.score_all(history)
            target_score = scores.gather(1, target)
            scores.scatter_(1, history, float("-inf")).scatter_(1, target, float("-inf"))
            ranks[block] = 1 + (~(scores < target_score)).sum(dim=1).cpu().numpy()
    return ranks


def _report(recommender: Recommender, record: EpochRecord, on_epoch: Callable[[EpochRecord], None] | None) -> None:
    logger.debug(
        "%s epoch %d: loss %.4f, validation NDCG@10 %.4f",
        recommender.name,
        record.epoch,
        record.loss,
        record.validation_ndcg,
    )
    if on_epoch is not None:
        on_epoch(record)


def _train_epochs(recommender: SequentialRecommender, sequences: Sequences, config: FitConfig) -> Iterator[float]:
    """Train epoch after epoch; yields the mean loss of each."""
    rng = np.random.default_rng(config.seed)
    device = recommender.device
    generator = torch.Generator(device).manual_seed(config.seed)
    parameters = [parameter for parameter in recommender.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.l2, fused=True)
    for epoch in range(1, config.epochs + 1):
        recommender.train()
        total, count = torch.zeros((), device=device), 0
        windows = cut_windows(sequences, max_length=recommender.max_length, rng=rng)
        for inputs, targets in batch_windows(sequences, windows, batch_size=config.batch_size, rng=rng):
            loss = _loss(recommender, inputs.to(device), targets.to(device), config=config, generator=generator)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            batch_targets = int((targets != 0).sum())
            total += loss.detach() * batch_targets
            count += batch_targets
        mean_loss = total.item() / count
        _refuse_divergence(recommender, mean_loss, epoch=epoch, config=config)
        yield mean_loss


def _refuse_divergence(recommender: Recommender, loss: float, *, epoch: int, config: FitConfig) -> None:
    """Raise DivergenceError unless an epoch left a finite loss and finite weights; its last step has no loss yet."""
    what = f"the loss of {recommender.name} is {loss}"
    if math.isfinite(loss):
        broken = [name for name, weight in recommender.named_parameters() if not torch.isfinite(weight).all()]
        if not broken:
            return
        what = f"weight '{broken[0]}' of {recommender.name} holds NaN or infinity"
    raise DivergenceError(
        what,
        where=f"epoch {epoch}",
        remedy=f"Lower recommender.fit.learning_rate (now {config.learning_rate}) and start anew.",
    )


def _loss(
    recommender: SequentialRecommender,
    inputs: Tensor,
    targets: Tensor,
    *,
    config: FitConfig,
    generator: torch.Generator,
) -> Tensor:
    """Mean loss over all positions that have a target, from one causal pass."""
    real = targets != 0  # [B, L]
    states = recommender.encode_all(inputs)[real]  # [N, R]
    target = targets[real] - 1  # [N]
    if config.loss == "drawn-softmax" and config.num_drawn < recommender.num_items:
        return _drawn_softmax(recommender, states, target, num_drawn=config.num_drawn, generator=generator)
    table = recommender.scoring_table()[1:]  # [num_items, R]
    if config.loss != "bce":
        return functional.cross_entropy(states @ table.T, target)
    return _binary_loss(states, table, target, num_negatives=config.num_negatives, generator=generator)


def _drawn_softmax(
    recommender: SequentialRecommender, states: Tensor, target: Tensor, *, num_drawn: int, generator: torch.Generator
) -> Tensor:
    """Mean of `losses_among_drawn`, of items drawn uniformly without repetition."""
    num_items = recommender.num_items
    drawn = torch.randperm(num_items, generator=generator, device=target.device)[:num_drawn]
    own = (states * recommender.item_vectors(target + 1)).sum(dim=1, keepdim=True)  # [N, 1]
    scores = states @ recommender.item_vectors(drawn + 1).T  # [N, num_drawn]
    return losses_among_drawn(own, scores, drawn == target[:, None], num_items=num_items).mean()


def _binary_loss(
    states: Tensor, table: Tensor, target: Tensor, *, num_negatives: int, generator: torch.Generator
) -> Tensor:
    """Targets against negatives drawn uniformly from all other items.

    Source:
        The loss of SASRec (arXiv:1808.09781), which LLaRA's recommenders use. Deviation: a negative may be another
        item of the same user, which at a catalog's size is rare.
    """
    num_items = len(table)
    size = (len(target), num_negatives)
    step = torch.randint(1, max(num_items, 2), size, generator=generator, device=target.device)
    negatives = (target.unsqueeze(1) + step) % num_items  # [N, num_negatives]
    positive = (states * table[target]).sum(dim=1)  # [N]
    negative = (table[negatives] @ states.unsqueeze(-1)).squeeze(-1)  # [N, num_negatives]
    return functional.softplus(-positive).mean() + functional.softplus(negative).mean()


def _refuse_misfit(recommender: Recommender, sequences: Sequences, validation: Examples) -> None:
    if len(validation) == 0:
        raise DataError("there are no validation rows to choose the best epoch by. Use a split that leaves some.")
    for what, items in (("training", sequences.items), ("validation", validation.target)):
        if len(items) and not 1 <= items.min() <= items.max() <= recommender.num_items:
            raise DataError(
                f"{what} item indices must be in 1..{recommender.num_items}, found {items.min()}..{items.max()}. "
                f"Build the recommender with the number of items of this catalog."
            )


def _cuda_devices(recommender: Recommender) -> list[torch.device]:
    device = recommender.device
    return [device] if device.type == "cuda" else []
