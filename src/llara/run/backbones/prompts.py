"""What prompts of a data set cost with a backbone: tokens, and the memory that a training row keeps."""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llara.data import Dataset, Examples, IntArray, split_dataset
from llara.model import BackboneConfig, Llara, LlaraConfig
from llara.prompt import PromptEncoder
from llara.recommender import RecommenderConfig, best_device, build_recommender
from llara.run.data_check import split_as_meant
from llara.train import TrainConfig, Trainer
from llara.train.draws import Draws

_MOST_ROWS = 2000
_NEGATIVES = 19


@dataclass(frozen=True)
class Spread:
    """A few numbers that stand for many.

    Attributes:
        median: Half of them are smaller.
        most: The 95 % quantile.
        largest: The largest.
    """

    median: int
    most: int
    largest: int

    @classmethod
    def of(cls, numbers: IntArray) -> "Spread":
        """Those of some numbers, at least one."""
        median, most = (round(float(np.quantile(numbers, share))) for share in (0.5, 0.95))
        return cls(median, most, int(numbers.max()))


@dataclass(frozen=True)
class PromptCost:
    """What prompts cost.

    Attributes:
        data: The data set.
        history_length: Items of the history in a prompt, at most.
        candidates: Candidates in a prompt.
        prompt_tokens: Tokens of a prompt with its answer.
        title_tokens: Tokens of what is said of an item.
        row_bytes: Memory that a training row of the most tokens keeps for its gradients.
        row_tokens: The tokens of that row.
    """

    data: str
    history_length: int
    candidates: int
    prompt_tokens: Spread
    title_tokens: Spread
    row_bytes: int
    row_tokens: int


def cost_of_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, dataset: Dataset, settings: BackboneConfig
) -> PromptCost:
    """Measure prompts as a run with default settings makes them, and one training step on the longest of them.

    Args:
        model: As `load_backbone` gives it.
        tokenizer: Its tokenizer.
        dataset: The data.
        settings: As the backbone was loaded.

    Raises:
        DataError: If the data set cannot be split, or has no training row.
    """
    config = LlaraConfig(backbone=settings)
    encoder = PromptEncoder(tokenizer, dataset.catalog, config.prompt)
    rows = split_dataset(dataset, split_as_meant(dataset)).train
    rows = rows.select(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64)))
    negatives = min(_NEGATIVES, dataset.catalog.num_items - rows.history.shape[1] - 1)
    draws = Draws(rows, encoder, negatives, answers=True, seed=0)
    lengths = draws.lengths(np.arange(len(rows)), 0)
    titles = np.array([len(encoder.answer_tokens(item)) - 1 for item in range(1, encoder.num_items + 1)])
    longest = int(lengths.argmax())
    recommender = build_recommender(RecommenderConfig(), num_items=dataset.catalog.num_items)
    llara = Llara(model, encoder=encoder, catalog=dataset.catalog, recommender=recommender, config=config)
    kept = _kept_bytes(llara.to(best_device()), rows.select(np.array([longest])), negatives)
    return PromptCost(
        data=dataset.info.name,
        history_length=rows.history.shape[1],
        candidates=1 + negatives,
        prompt_tokens=Spread.of(lengths),
        title_tokens=Spread.of(titles),
        row_bytes=kept,
        row_tokens=int(lengths[longest]),
    )


def _kept_bytes(llara: Llara, row: Examples, negatives: int) -> int:
    """Memory that the forward pass of one row keeps until its gradients are computed."""
    config = TrainConfig(batch_size=1, micro_batch_size=1, epochs=1, validations=1, num_negatives=negatives)
    return Trainer(llara, row, config=config, validate=lambda _: 0.0).kept_by(np.zeros(1, dtype=np.int64))
