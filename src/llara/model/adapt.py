"""`backbone.adapt`: continued pretraining on a catalog's text, so that titles are known before they are ranked."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from llara.data import Catalog
from llara.data.limits import NonNegativeInt, PositiveInt, PositiveNumber, Ratio, check_limits
from llara.errors import ConfigError, DivergenceError
from llara.model.precision import resolve_precision
from llara.prompt import PromptEncoder

logger = logging.getLogger(__name__)

LARGEST_PRACTICE = 30
"""Most items in a practice document."""


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a backbone learns the catalog's text; it never sees an interaction."""

    steps: NonNegativeInt = 0
    """Optimizer steps; 0 leaves the backbone as it is."""
    batch_size: PositiveInt = 16
    """Blocks per step."""
    block_tokens: Annotated[int, Field(ge=2)] = 256
    """Tokens per block."""
    learning_rate: PositiveNumber = 1e-3
    """Peak; warm-up over a tenth of the steps, then linear to 0."""
    columns: tuple[str, ...] = ()
    """Metadata columns that are taught beside the titles; empty: all of them."""
    practice_ratio: Ratio = 0.5
    """Share of documents, in [0, 1], that show the task's wording with random items and a random listed item as the
    answer: they teach the form (repeat one title of the list), nothing about taste."""

    def __post_init__(self) -> None:
        check_limits(self, "backbone.adapt")


def catalog_lines(catalog: Catalog, columns: Sequence[str] = ()) -> list[str]:
    """One text per item: its title, then each metadata column that has a value.

    Args:
        catalog: The items.
        columns: Which metadata columns; empty: all.

    Raises:
        ConfigError: If the catalog lacks a column.
    """
    lines = []
    names = list(columns) or catalog.metadata.columns
    unknown = [name for name in names if name not in catalog.metadata.columns]
    if unknown:
        known = ", ".join(catalog.metadata.columns) or "none"
        raise ConfigError(f"backbone.adapt.columns: the catalog has no column '{unknown[0]}'; it has: {known}.")
    # A selection of no columns has no rows either.
    rows = catalog.metadata.select(names).rows() if names else [()] * catalog.num_items
    for title, values in zip(catalog.titles[1:], rows, strict=True):
        facts = [
            f"{name.replace('_', ' ')}: {value}"
            for name, value in zip(names, values, strict=True)
            if value not in (None, "")
        ]
        lines.append("\n".join([f" {title}", *facts]))
    return lines


UNTRAINED = -100
"""Label of a token whose prediction is not trained."""

Document = tuple[list[int], list[int]]
"""Token ids and labels, both in order."""


def practice_document(encoder: PromptEncoder, num_items: int, rng: np.random.Generator) -> Document:
    """A prompt of random items in a random wording, then the answer of every candidate in random order.

    One answer would be a handful of tokens in a hundred; all of them teach copying from the list many times faster.
    Slots hold the filler, whose prediction is not trained.
    """
    size = min(int(rng.integers(2, LARGEST_PRACTICE + 1)), num_items)
    items = rng.permutation(num_items)[:size] + 1
    cut = max(1, size // 3)
    history, candidates = items[:cut], items[min(cut, size - 1) :]
    prompt = encoder.build(history.tolist(), candidates.tolist(), template=int(rng.integers(1 << 30)))
    encoded = encoder.encode(prompt)
    tokens, labels = list(encoded.token_ids), list(encoded.token_ids)
    for slot in encoded.slot_positions:
        labels[slot] = UNTRAINED
    for item in rng.permutation(candidates):
        answer = encoder.answer_tokens(int(item))
        tokens.extend(answer)
        labels.extend(answer)
    return tokens, labels


class BlockSampler:
    """Token blocks of random documents: facts about items, and practice in the task's form.

    Args:
        encoder: Wording, item texts and tokenizer.
        catalog: Items with their metadata.
        config: Share of practice, columns of the facts, block size.
    """

    def __init__(self, encoder: PromptEncoder, catalog: Catalog, config: AdaptConfig) -> None:
        lines = catalog_lines(catalog, config.columns)
        encoded = encoder.tokenizer(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        self.facts: list[list[int]] = [[*tokens, encoder.frame.end] for tokens in encoded]
        self.encoder = encoder
        self.config = config

    def block(self, rng: np.random.Generator) -> Document:
        """Documents one after the other, each closed by the end token, cut to `block_tokens` and one more."""
        tokens: list[int] = []
        labels: list[int] = []
        size = self.config.block_tokens + 1
        while len(tokens) < size:
            if rng.random() < self.config.practice_ratio:
                read, learned = practice_document(self.encoder, len(self.facts), rng)
            else:
                read = learned = self.facts[int(rng.integers(len(self.facts)))]
            tokens.extend(read)
            labels.extend(learned)
        return tokens[-size:], labels[-size:]


def _share_of_peak(step: int, steps: int) -> float:
    """Learning rate of a step as a share of its peak: warm-up over a tenth of the steps, then linear to 0."""
    warmup = max(1, steps // 10)
    return min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))


def _refuse_divergence(loss: float, norm: float, step: int, config: AdaptConfig) -> None:
    for what, value in (("loss", loss), ("norm of the gradients", norm)):
        if not math.isfinite(value):
            raise _diverged(f"the {what} is {value}", step, config)


def adapt_backbone(
    model: PreTrainedModel,
    encoder: PromptEncoder,
    catalog: Catalog,
    *,
    config: AdaptConfig,
    seed: int,
    precision: str = "auto",
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train all weights of a causal LM on the catalog's text, in place.

    Args:
        model: Causal LM without adapter.
        encoder: Its tokenizer with the wordings and item texts of practice documents.
        catalog: Items with their metadata.
        config: Steps and sizes.
        seed: Seed of documents and order.
        precision: Of the matrix products, as in `BackboneConfig.precision`.
        on_step: Called with the step and its loss.

    Returns:
        Loss in nats per token of each step.

    Raises:
        DivergenceError: If a loss, a gradient or, at the end, a weight is not finite.
    """
    rng = np.random.default_rng([seed, 0xADA])
    sampler = BlockSampler(encoder, catalog, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_peak(step, config.steps))
    model.train().requires_grad_(True)
    dtype = resolve_precision(precision, model.device)
    losses: list[float] = []
    started = time.perf_counter()
    for step in range(config.steps):
        blocks = [sampler.block(rng) for _ in range(config.batch_size)]
        ids, labels = (torch.tensor(part, device=model.device) for part in zip(*blocks, strict=True))
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = _next_token_loss(model, ids, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        _refuse_divergence(losses[-1], norm, step, config)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if on_step is not None:
            on_step(step + 1, losses[-1])
    logger.debug(
        "adapted the backbone in %.0f s: %.2f nats per token",
        time.perf_counter() - started,
        losses[-1] if losses else 0,
    )
    model.eval()
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():  # the last step's, which no loss has seen
            raise _diverged(f"weight '{name}' holds NaN or infinity", config.steps - 1, config)
    return losses


def _diverged(what: str, step: int, config: AdaptConfig) -> DivergenceError:
    rate = f"Lower backbone.adapt.learning_rate (now {config.learning_rate})"
    return DivergenceError(
        what,
        where=f"step {step + 1} of {config.steps} of backbone.adapt",
        remedy=f"{rate} or set backbone.precision to float32, and start anew.",
    )


def _next_token_loss(model: PreTrainedModel, ids: Tensor, labels: Tensor) -> Tensor:
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    loss: Tensor = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=UNTRAINED
    )
    return loss
