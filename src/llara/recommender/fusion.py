"""Several cheap recommenders as one: a weighted sum of their scores, with weights by how often an item was chosen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from llara.data.examples import Examples
from llara.data.limits import check_limits
from llara.data.sequences import Sequences
from llara.errors import ConfigError
from llara.recommender.base import Recommender
from llara.recommender.known import RECOMMENDERS

FREQUENCY_EDGES = (1, 5, 20, 100)
"""Items chosen 0, 1-4, 5-19, 20-99 and 100 or more times in training have weights of their own."""
_NEGATIVES, _STREAM = 500, 0xF0510
_PULL, _LIMIT = 2e-3, 1e-5
"""Penalties, with scores at deviation 1: on a weight's squared deviation from that of all items together, since few
rows have rare targets; and on that weight itself, which no bound would stop where a member is always right."""
_STEPS = 200
_ROWS_AT_ONCE = 128
"""Rows whose items' vectors are held in memory."""


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Which recommenders are added up: for `fusion`."""

    members: tuple[str, ...] = ("sasrec", "counts", "text")
    """Names of two or more recommenders, each with the settings of its own section; the first gives the item vectors
    that go into prompts, which `counts`, `ease` and `item-knn` do not have. `text` and `text-sasrec` need
    recommender.text.encoder."""
    by_frequency: bool = True
    """Whether weights differ between items chosen 0, 1-4, 5-19, 20-99 and 100 or more times in training."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.fusion")
        names = self.members
        if len(names) < 2 or len(set(names)) < len(names) or "fusion" in names:
            raise ConfigError(
                "recommender.fusion.members must name two or more different recommenders, such as "
                f"[sasrec, counts, text], got {list(self.members)}"
            )


class Fusion(Recommender):
    """Adds up the scores of its members with weights that make held-out choices most likely.

    Score of item i = b[f] + sum over members m of w[m, f] * score_m(i), where f is the class of i's frequency. Vectors
    and states are those of the first member, which LLaRA projects.

    Args:
        members: Two or more over the same catalog.
        by_frequency: Whether weights differ between classes of frequency.
    """

    name = "fusion"
    frequency_class: Tensor

    def __init__(self, members: Sequence[Recommender], *, by_frequency: bool) -> None:
        first = members[0]
        super().__init__(first.num_items, first.width)
        self.members = nn.ModuleDict({member.name: member for member in members})
        self.by_frequency = by_frequency
        classes = len(FREQUENCY_EDGES) + 1
        self.weights = nn.Parameter(torch.ones(len(members), classes))
        self.biases = nn.Parameter(torch.zeros(classes))
        self.register_buffer("frequency_class", torch.zeros(first.num_items + 1, dtype=torch.long))

    @property
    def parts(self) -> list[Recommender]:
        """The members, in order."""
        return [member for member in self.members.values() if isinstance(member, Recommender)]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.biases.device

    def scoring_table(self) -> Tensor:
        """The first member's, [num_items + 1, R]."""
        return self.parts[0].scoring_table()

    def item_embeddings(self) -> Tensor:
        """The first member's, [num_items + 1, R]."""
        return self.parts[0].item_embeddings()

    def encode(self, history: Tensor) -> Tensor:
        """The first member's, [B, R]."""
        return self.parts[0].encode(history)

    def score_all(self, history: Tensor) -> Tensor:
        """Score every item, [B, num_items + 1]; column 0, padding, is -inf."""
        scores = self._sum([member.score_all(history) for member in self.parts], self.frequency_class)
        scores[:, 0] = float("-inf")
        return scores

    def score(self, history: Tensor, candidates: Tensor) -> Tensor:
        """The same numbers for candidates only, [B, C]; -inf at padding."""
        scores = self._sum(
            [member.score(history, candidates) for member in self.parts], self.frequency_class[candidates]
        )
        return scores.masked_fill(candidates == 0, float("-inf"))

    def score_each(self, history: Tensor, items: Tensor | None = None) -> Tensor:
        """See `Recommender.score_each`."""
        classes = self.frequency_class if items is None else self.frequency_class[items]
        scores = self._sum([member.score_each(history, items) for member in self.parts], classes)
        if items is None:
            scores[:, 0] = float("-inf")
        return scores

    def _sum(self, scores: Sequence[Tensor], classes: Tensor) -> Tensor:
        """Weighted sum of the members' scores [..., S] of items whose classes are [S] or [..., S]."""
        total: Tensor = self.biases[classes].expand(scores[0].shape)
        for weight, found in zip(self.weights, scores, strict=True):
            total = total + weight[classes] * found.float().masked_fill(found == float("-inf"), 0.0)
        return total

    def count(self, sequences: Sequences) -> None:
        """Sort the items into classes by how often training users chose them."""
        chosen = np.bincount(sequences.items, minlength=self.num_items + 1)
        self.frequency_class = torch.from_numpy(np.digitize(chosen, FREQUENCY_EDGES)).to(self.device)

    def weigh(self, validation: Examples, *, seed: int) -> None:
        """Fit the weights by held-out rows; the members must be fitted, the items counted.

        A conditional logit (McFadden 1974): each target against items drawn uniformly, which for this model gives the
        weights that the whole catalog would give. Each class's weights are pulled towards those of all items together.
        """
        with torch.no_grad():
            scores, classes, absent = self._drawn(validation, seed=seed)
        scale = scores.flatten(1).std(dim=1).clamp_min(1e-6)[:, None]
        scores = scores / scale[:, :, None]
        shared = torch.ones(len(self.parts)) / len(self.parts)
        own = torch.zeros_like(self.weights.detach().cpu())
        biases = torch.zeros(len(self.biases))
        unknown = [part.requires_grad_() for part in (shared, own, biases)]
        optimizer = torch.optim.LBFGS(unknown, max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            weights = (shared[:, None] + own * float(self.by_frequency))[:, classes]  # [M, N, 1 + negatives]
            of_class = biases[classes] * float(self.by_frequency)
            summed = ((weights * scores).sum(dim=0) + of_class).masked_fill(absent, float("-inf"))
            penalty = _PULL * (own.square().sum() + biases.square().sum()) + _LIMIT * shared.square().sum()
            return -summed.log_softmax(dim=1)[:, 0].mean() + penalty

        def closure() -> Tensor:
            optimizer.zero_grad()
            found = loss()
            found.backward()  # type: ignore[no-untyped-call]
            return found

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            if not math.isfinite(float(loss())):
                raise ConfigError(
                    "the members of recommender.fusion give scores that are not finite; a weighted sum says nothing."
                )
            self.weights.copy_((shared[:, None] + own * float(self.by_frequency)) / scale)
            self.biases.copy_(biases * float(self.by_frequency))

    def _drawn(self, validation: Examples, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row's target, then of drawn items: scores by member [M, N, S], classes and absence [N, S]."""
        rng = np.random.default_rng([_STREAM, seed])
        drawn = rng.integers(1, self.num_items + 1, (len(validation), min(_NEGATIVES, self.num_items)))
        drawn[drawn == validation.target[:, None]] = 0  # an item does not compete with itself
        items = torch.from_numpy(np.concatenate([validation.target[:, None], drawn], axis=1)).to(self.device)
        history = torch.from_numpy(validation.history).to(self.device)
        blocks = [slice(at, at + _ROWS_AT_ONCE) for at in range(0, len(items), _ROWS_AT_ONCE)]
        found = [
            torch.stack([part.score(history[rows], items[rows]).float() for part in self.parts]) for rows in blocks
        ]
        scores = torch.cat(found, dim=1).masked_fill(items == 0, 0.0)
        return scores.cpu(), self.frequency_class[items].cpu(), (items == 0).cpu()

    def settings(self) -> dict[str, object]:
        """The members' names, shapes and settings."""
        return {
            "by_frequency": self.by_frequency,
            "members": [
                {"name": member.name, "width": member.width, "settings": member.settings()} for member in self.parts
            ],
        }

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A fusion whose members are yet to be loaded."""
        found, by_frequency = settings.get("members"), settings.get("by_frequency")
        if not isinstance(found, list) or not isinstance(by_frequency, bool):
            raise TypeError(f"a fusion has members and by_frequency, found {dict(settings)}")
        members = [
            RECOMMENDERS[member["name"]].restore(member["settings"], num_items=num_items, width=member["width"])
            for member in found
        ]
        return cls(members, by_frequency=by_frequency)
