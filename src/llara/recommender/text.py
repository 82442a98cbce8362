"""Recommenders that know what items are called: similarity of texts, and SASRec over text vectors."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from llara.data.item_text import parse_item_text
from llara.data.limits import NonNegativeNumber, PositiveInt, PositiveRatio, Ratio, check_limits
from llara.errors import ConfigError
from llara.recommender.base import Recommender, recency
from llara.recommender.sasrec import SASRec, SASRecConfig

_COSINES = 2**24
"""Cosines that are held in memory."""
_LEAST_DEVIATION = 1e-2
"""Of a direction against the first, so that no rounding is blown up."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """What is known of items by their text: for `text`, `text-sasrec` and `fusion`."""

    encoder: Path | None = None
    """Folder of a text encoder, such as `llara backbone fetch minilm-l6` makes."""
    item_text: str | None = None
    """What it reads of each item, such as "{title} ({year}; {genres}) {description}": a vector costs no more for a long
    text, a prompt does. none: prompt.item_text."""
    max_tokens: PositiveInt = 64
    """Tokens of an item's text that the encoder reads, >= 1."""
    decay: PositiveRatio = 0.9
    """text only: weight of a history item against that of the one after it, in (0, 1]; 1: all count alike."""
    sharpness: NonNegativeNumber = 10.0
    """text only: how much the history item that reads most like a candidate decides, >= 0; 0: the mean of all."""
    whitening: Ratio = 0.5
    """text only: how far directions in which all texts differ much are pulled in, in [0, 1]; 0: not at all."""
    ids: bool = True
    """text-sasrec only: whether an item's vector is its text's, projected, plus a learned one of its own; false: the
    text's alone, so that items of the same text are the same."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.text")
        if self.item_text is not None:
            if self.encoder is None:
                raise ConfigError(
                    "recommender.text.item_text says what recommender.text.encoder reads, which is not set. Get an "
                    "encoder with `llara backbone fetch minilm-l6`, or leave item_text out."
                )
            try:
                parse_item_text(self.item_text)
            except ConfigError as error:
                raise ConfigError(f"recommender.text.item_text: {error}") from error


def whitened(vectors: Tensor, *, strength: float) -> Tensor:
    """Vectors of texts, centered, with their main directions pulled in: encoders put all texts into a narrow cone.

    Args:
        vectors: Row 0 padding, [num_items + 1, V].
        strength: Power of the deviation by which each principal direction is divided, in [0, 1]; 0: nothing is changed.

    Source:
        Su et al., "Whitening Sentence Representations for Better Semantics and Faster Retrieval" (arXiv:2103.15316).
        Deviation: by a power of the deviation, since all of it (strength 1) makes the noise of the last directions
        as loud as what texts say.
    """
    if strength == 0:
        return vectors
    known = functional.normalize(vectors[1:].detach().float(), dim=1)
    centered = known - known.mean(dim=0)
    _, deviation, directions = torch.linalg.svd(centered, full_matrices=False)
    relative = (deviation / deviation[0].clamp_min(1e-12)).clamp_min(_LEAST_DEVIATION)
    turned = (centered @ directions.T) / relative**strength
    return torch.cat([turned.new_zeros(1, turned.shape[1]), functional.normalize(turned, dim=1)])


class TextSimilarity(Recommender):
    """Scores an item by how much its text reads like those of the history, later items weighing more.

    With cosines c[l] to the history's items and weights w[l], the score is log(sum of w[l] exp(s c[l])) / s up to a
    number of the row: between the greatest of the cosines (large s) and their mean (s = 0). It learns nothing: an item
    that nobody has chosen yet is scored like any other. States are mean vectors, which only s = 0 compares.

    Args:
        vectors: Of the items' texts, row 0 padding, [num_items + 1, V].
        decay: Weight of a history item against that of the one after it, in (0, 1].
        sharpness: s, >= 0.
    """

    name = "text"
    vectors: Tensor

    def __init__(self, vectors: Tensor, *, decay: float, sharpness: float = 0.0) -> None:
        super().__init__(num_items=len(vectors) - 1, width=vectors.shape[1])
        self.decay = decay
        self.sharpness = sharpness
        table = functional.normalize(vectors.detach().float(), dim=1)
        table[0] = 0.0
        self.register_buffer("vectors", table)

    def scoring_table(self) -> Tensor:
        """The vectors at length 1, [num_items + 1, V]."""
        return self.vectors

    def encode(self, history: Tensor) -> Tensor:
        """Weighted mean vector of the history at length 1; zero for an empty history, [B, V]."""
        weight = recency(history, decay=self.decay)
        return functional.normalize((weight[:, :, None] * self.vectors[history]).sum(dim=1), dim=1)

    def score_all(self, history: Tensor) -> Tensor:
        """Score every item, [B, num_items + 1]; column 0, padding, is -inf."""
        if self.sharpness == 0:
            return super().score_all(history)
        at_once = max(1, _COSINES // max(1, history.shape[1] * (self.num_items + 1)))
        blocks = [self._alike(rows, self.vectors[rows] @ self.vectors.T) for rows in torch.split(history, at_once)]
        scores = torch.cat(blocks) if blocks else self.vectors.new_zeros(0, self.num_items + 1)
        scores[:, 0] = float("-inf")
        return scores

    def score(self, history: Tensor, candidates: Tensor) -> Tensor:
        """The same numbers for candidates only, [B, C]; -inf at padding."""
        if self.sharpness == 0:
            return super().score(history, candidates)
        scores = self._alike(history, self.vectors[history] @ self.vectors[candidates].mT)
        return scores.masked_fill(candidates == 0, float("-inf"))

    def score_each(self, history: Tensor, items: Tensor | None = None) -> Tensor:
        """See `Recommender.score_each`."""
        if self.sharpness == 0:
            return super().score_each(history, items)
        table = self.vectors if items is None else self.vectors[items]
        blocks = []
        for row in history:
            read = row[row != 0]
            age = torch.arange(len(read), device=row.device).float()[:, None] * math.log(self.decay)
            cosines = self.sharpness * (self.vectors[read] @ table.T)  # [L, S]
            blocks.append((cosines - age).logcumsumexp(dim=0) + age)
        scores = torch.cat(blocks) / self.sharpness
        if items is None:
            scores[:, 0] = float("-inf")
        return scores

    def _alike(self, history: Tensor, cosines: Tensor) -> Tensor:
        """Scores from the cosines to each history item, [B, L] and [B, L, S] -> [B, S]; zeros without a history."""
        weight = recency(history, decay=self.decay).log()[:, :, None]  # -inf at padding
        scores = (self.sharpness * cosines + weight).logsumexp(dim=1) / self.sharpness
        return scores.masked_fill((history == 0).all(dim=1)[:, None], 0.0)

    def settings(self) -> dict[str, object]:
        """The decay and the sharpness."""
        return {"decay": self.decay, "sharpness": self.sharpness}

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """One whose vectors are yet to be loaded."""
        return cls(torch.zeros(num_items + 1, width), **settings)  # type: ignore[arg-type]


class TextSASRec(SASRec):
    """SASRec whose item vectors are a learned projection of their texts' vectors, plus learned ones if asked.

    Args:
        texts: A vector of each item's text, row 0 padding, [num_items + 1, V].
        config: Shape, as SASRec's.
        ids: Whether each item has a learned vector of its own, too.
        width: Width R of states and item vectors.
        seed: Seed of the initial weights.

    Source:
        Text vectors as item representations in sequential recommenders: UniSRec (arXiv:2206.05941). Deviations: one
        linear projection, no pretraining on other data, tied input and output vectors.
    """

    name = "text-sasrec"
    texts: Tensor

    def __init__(
        self, texts: Tensor, config: SASRecConfig | None = None, *, ids: bool = True, width: int = 64, seed: int = 0
    ) -> None:
        super().__init__(len(texts) - 1, config, width=width, seed=seed)
        self.ids = ids
        known = texts[1:].detach().float()
        # Encoders put all texts into a narrow cone: without its axis, vectors differ by what the texts say.
        centered = functional.normalize(known - known.mean(dim=0), dim=1)
        self.register_buffer("texts", torch.cat([known.new_zeros(1, known.shape[1]), centered]))
        # Left empty, so that making it takes no random number from others.
        self.of_text: nn.Linear = nn.utils.skip_init(nn.Linear, texts.shape[1], width, bias=False)  # type: ignore[no-untyped-call]
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.of_text.weight.normal_(std=width**-0.5, generator=generator)
            self.item_table.weight.mul_(0.1 if ids else 0.0)  # the text's part comes first
        self.item_table.weight.requires_grad_(ids)

    def scoring_table(self) -> Tensor:
        """Projected text plus, with `ids`, the learned vector, [num_items + 1, R]."""
        projected: Tensor = self.of_text(self.texts)
        return projected + self.item_table.weight if self.ids else projected

    def item_vectors(self, items: Tensor) -> Tensor:
        """Rows of `scoring_table`, without making all of it, [..., R]."""
        projected: Tensor = self.of_text(self.texts[items])
        return projected + self.item_table(items) if self.ids else projected

    def embed(self, history: Tensor) -> Tensor:
        """Vectors of the history's items, [B, L, R]."""
        return self.item_vectors(history)

    def settings(self) -> dict[str, object]:
        """The shape, and what the vectors are made of."""
        return {"config": asdict(self.config), "ids": self.ids, "text_width": self.texts.shape[1]}

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """One of this shape, weights and vectors yet to be loaded."""
        config, ids, text_width = (settings.get(key) for key in ("config", "ids", "text_width"))
        if not isinstance(config, dict) or not isinstance(ids, bool) or not isinstance(text_width, int):
            raise TypeError(f"text-sasrec has config, ids and text_width, found {dict(settings)}")
        return cls(torch.zeros(num_items + 1, text_width), SASRecConfig(**config), ids=ids, width=width)
