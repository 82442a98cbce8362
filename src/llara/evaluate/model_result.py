"""What one model achieved on every row of every candidate draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from llara.data.sequences import IntArray
from llara.errors import DataError
from llara.evaluate import metrics
from llara.evaluate.metrics import BoolArray, FloatArray, Scores
from llara.evaluate.statistics import Interval, hit_ratio_interval, wilson_interval

Asked = Literal["sampled ranking", "full ranking", "free generation"]


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model's ranks on every row of every candidate draw.

    Attributes:
        name: Name in tables, unique in a report.
        ranks: Rank of the target in 1..C, shape [draws, N]. Free generation names one item and ranks nothing:
            its rank is 1 where the item is right and C otherwise.
        num_candidates: Candidates per row, C.
        candidate_hashes: sha256 of the candidate set of each draw, [draws]. Results with other hashes do not compare.
        seconds: Wall time of scoring, all draws together.
        task: How the model was asked. Sampled and full ranking never share a report.
        valid: Whether each generated answer names exactly one candidate, shape [draws, N]; None where the model
            scored the candidates.
        users: Number of each row's user, 0, 1, ..., shape [N], where users have several rows; None: one row a user.
        cutoff: How many of the first ranks count as a hit in what tables show first, HR@cutoff.
        measures: Further numbers of all rows, which their ranks do not give, by the key of their metric.
    """

    name: str
    ranks: IntArray
    num_candidates: int
    candidate_hashes: tuple[str, ...]
    seconds: float
    task: Asked = "sampled ranking"
    valid: BoolArray | None = None
    users: IntArray | None = None
    cutoff: int = 1
    measures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ranks.ndim != 2 or self.ranks.size == 0:
            raise DataError(f"model '{self.name}': expected ranks [draws, rows], found shape {self.ranks.shape}")
        if self.ranks.min() < 1 or self.ranks.max() > self.num_candidates:
            raise DataError(
                f"model '{self.name}': expected ranks in 1..{self.num_candidates}, found "
                f"{self.ranks.min()}..{self.ranks.max()}"
            )
        if len(self.candidate_hashes) != self.draws:
            raise DataError(
                f"model '{self.name}': expected one candidate hash per draw, found {len(self.candidate_hashes)} "
                f"for {self.draws} draws"
            )
        if (self.valid is not None) != (self.task == "free generation"):
            raise DataError(f"model '{self.name}': free generation, and only that, says which answers are valid")
        if self.valid is not None and self.valid.shape != self.ranks.shape:
            raise DataError(
                f"model '{self.name}': expected `valid` in the shape of the ranks {self.ranks.shape}, "
                f"found {self.valid.shape}"
            )

    @classmethod
    def from_scores(
        cls,
        name: str,
        scores: Scores,
        *,
        target_column: IntArray,
        candidate_hashes: Sequence[str],
        seconds: float,
        task: Asked = "sampled ranking",
        users: IntArray | None = None,
    ) -> "ModelResult":
        """Rank the targets of every draw.

        Args:
            name: Name in tables.
            scores: Higher is better, shape [draws, N, C], or [N, C] for a single draw.
            target_column: Column of the target, shape [draws, N], or [N] for a single draw.
            candidate_hashes: sha256 of each draw's candidate set.
            seconds: Wall time of scoring.
            task: "sampled ranking" or "full ranking".
            users: Number of each row's user, where users have several rows.
        """
        if scores.ndim == 2:
            scores, target_column = scores[None], target_column[None]
        if scores.ndim != 3 or target_column.shape != scores.shape[:2]:
            raise DataError(
                f"model '{name}': expected scores [draws, rows, candidates] and target columns [draws, rows], found "
                f"{scores.shape} and {target_column.shape}"
            )
        pairs = zip(scores, target_column, strict=True)
        ranks = np.array([metrics.target_ranks(draw_scores, column) for draw_scores, column in pairs])
        return cls(name, ranks, scores.shape[2], tuple(candidate_hashes), seconds, task, users=users)

    @classmethod
    def from_choices(
        cls,
        name: str,
        chosen: IntArray,
        *,
        target: IntArray,
        num_candidates: int,
        candidate_hashes: Sequence[str],
        seconds: float,
        users: IntArray | None = None,
    ) -> "ModelResult":
        """Judge free generation by the item that each answer names.

        Args:
            name: Name in tables.
            chosen: Item index of the one candidate that the answer names, 0 where it names none or several
                (an invalid answer: a miss), shape [draws, N], or [N] for a single draw.
            target: Item index of the target, shape [N] or the shape of `chosen`.
            num_candidates: Candidates per row, >= 2.
            candidate_hashes: sha256 of each draw's candidate set.
            seconds: Wall time of generating.
            users: Number of each row's user, where users have several rows.
        """
        chosen = np.atleast_2d(chosen)
        if chosen.ndim != 2 or target.shape[-1:] != chosen.shape[-1:] or num_candidates < 2:
            raise DataError(
                f"model '{name}': expected chosen items [draws, rows], their targets and >= 2 candidates, found "
                f"shapes {chosen.shape}, {target.shape} and {num_candidates} candidates"
            )
        valid = chosen > 0
        ranks = np.where(valid & (chosen == target), 1, num_candidates)
        return cls(name, ranks, num_candidates, tuple(candidate_hashes), seconds, "free generation", valid, users)

    @property
    def draws(self) -> int:
        """Candidate draws."""
        return len(self.ranks)

    @property
    def rows(self) -> int:
        """Test rows."""
        return int(self.ranks.shape[1])

    @property
    def num_users(self) -> int:
        """Users behind the rows, the independent unit."""
        return self.rows if self.users is None else len(np.unique(self.users))

    @property
    def total(self) -> int:
        """Rows over all draws."""
        return int(self.ranks.size)

    @property
    def hits(self) -> int:
        """Targets among the first `cutoff`, summed over draws."""
        return int(metrics.hits_at(self.ranks, self.cutoff).sum())

    @property
    def hit_ratio(self) -> float:
        """HR@cutoff over all rows and draws."""
        return metrics.hit_ratio(self.ranks, self.cutoff)

    @property
    def ranks_candidates(self) -> bool:
        """Whether all candidates were ordered, so that metrics beyond the first place mean something."""
        return self.task != "free generation"

    def of_rows(self, rows: IntArray) -> "ModelResult":
        """The same model on some of the rows, >= 1 of them, in order; hashes and seconds stay, measures go."""
        return replace(
            self,
            ranks=self.ranks[:, rows],
            valid=None if self.valid is None else self.valid[:, rows],
            users=None if self.users is None else np.unique(self.users[rows], return_inverse=True)[1],
            measures={},
        )

    def row_hits(self) -> FloatArray:
        """Each row's hits within the first `cutoff`, averaged over draws, shape [N]."""
        return np.asarray(metrics.hits_at(self.ranks, self.cutoff).mean(axis=0), dtype=np.float64)

    def hr(self, k: int) -> float:
        """HR@k over all rows and draws; NaN for k > 1 where nothing was ranked (free generation)."""
        return metrics.hit_ratio(self.ranks, k) if k == 1 or self.ranks_candidates else float("nan")

    def ndcg(self, k: int) -> float:
        """NDCG@k over all rows and draws; NaN for k > 1 where nothing was ranked (free generation)."""
        return metrics.ndcg(self.ranks, k) if k == 1 or self.ranks_candidates else float("nan")

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank; NaN where nothing was ranked (free generation)."""
        return metrics.mrr(self.ranks) if self.ranks_candidates else float("nan")

    @property
    def valid_ratio(self) -> float | None:
        """Answers that name exactly one candidate / all rows; None where no answer was generated."""
        return None if self.valid is None else float(self.valid.mean())

    @property
    def hit_ratio_given_valid(self) -> float | None:
        """Hits / valid answers, as the first LLaRA release logged it: NaN without valid answers, None as above."""
        if self.valid is None:
            return None
        return self.hits / int(self.valid.sum()) if self.valid.any() else float("nan")

    def hit_interval(self, *, level: float = 0.95, seed: int = 0) -> Interval | None:
        """Interval of HR@cutoff: Wilson for one row per user and a single draw, else `hit_ratio_interval`.

        Where every row was always hit or always missed, resampling sees no variation and its interval would have
        no width; Wilson over the users is given instead. None where there is no honest interval: one user, or several
        who all have the same share of hits.
        """
        if self.num_users < 2:
            return None
        if self.draws > 1 or self.users is not None:
            return hit_ratio_interval(self.row_hits(), level=level, seed=seed, users=self.users)
        return wilson_interval(self.hits, self.rows, level)
