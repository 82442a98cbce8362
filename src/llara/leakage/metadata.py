"""Leaks in metadata: columns that were made from the interactions of held-out users."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llara.data.sequences import IntArray
from llara.errors import DataError
from llara.leakage.evidence import Evidence
from llara.leakage.finding import LeakageFinding, Level, of

_UNLIKELY = 1e-6
_TELLING_DIFFERENCE = 0.5
_TELLING_CORRELATION = 0.5
_REMEDY = (
    "Leave such columns out of prompt.item_text and backbone.adapt.columns, or import them counted from this split's "
    "training users only."
)
_MOST_MESSAGES = 3


@dataclass(frozen=True)
class _Remark:
    """What was found about one column."""

    level: Level
    message: str
    numbers: dict[str, object]


def check_metadata(evidence: Evidence) -> LeakageFinding:
    """Metadata columns that know what held-out users touched.

    Three ways to tell:

    - Provenance: `dataset.json` says from whose interactions a column was counted (`origin.metadata_users`), and
      validation or test users are among them.
    - Missing values: of the items that nobody learns from, those that held-out interactions touch have a value more
      often than those that nobody touches (Fisher's exact test, p < 1e-6). A leak where the shares differ by more than
      half; else a warning, since well-known items are described more often.
    - Amount: among items that were learned from equally often, the column's number, or how many values it lists, rises
      with the held-out interactions (rank correlation within these groups > .5, p < 1e-6). A warning, since an item's
      fame outside of the log does the same.

    Last.fm's published tags, which count all users, have a value for 420 of 420 such artists and for 0 of 5,500, and
    their number a correlation of .63. The listeners of the same artists have .16, less than the number of Steam's tags,
    .25, which is no leak: a column that knows so little cannot be found by its numbers.
    """
    catalog = evidence.dataset.catalog
    names = [name for name in catalog.metadata.columns if evidence.columns is None or name in evidence.columns]
    if not names:
        return LeakageFinding("metadata", "ok", "no metadata column is read.")
    remarks = [*_provenance(evidence, names), *_missing_values(evidence, names), *_amounts(evidence, names)]
    telling = [remark for remark in remarks if remark.level != "ok"]
    numbers = {"columns": names, "found": [remark.numbers for remark in remarks]}
    if not telling:
        about = " ".join(remark.message for remark in remarks)
        message = f"no sign that a metadata column was made from held-out interactions (of {len(names)}). {about}"
        return LeakageFinding("metadata", "ok", message.strip(), numbers)
    level: Level = "leak" if any(remark.level == "leak" for remark in telling) else "warning"
    messages = [remark.message for remark in telling if remark.level == level]
    more = f" So it is with {len(messages) - _MOST_MESSAGES} others." if len(messages) > _MOST_MESSAGES else ""
    return LeakageFinding("metadata", level, f"{' '.join(messages[:_MOST_MESSAGES])}{more} {_REMEDY}", numbers)


def _provenance(evidence: Evidence, names: list[str]) -> Iterator[_Remark]:
    """What `dataset.json` says about the users from whom columns were counted."""
    recorded = evidence.dataset.info.origin.get("metadata_users")
    if recorded is None:
        return
    if not isinstance(recorded, dict) or not all(isinstance(recorded.get(key), list) for key in ("columns", "users")):
        raise DataError(
            "dataset.json: origin.metadata_users must be {columns: [...], users: [...]}, found "
            f"{type(recorded).__name__}. Import the data again."
        )
    counted = [name for name in names if name in recorded["columns"]]
    if not counted:
        return
    users = pl.Series([str(user) for user in recorded["users"]], dtype=pl.String)
    ids = evidence.dataset.log.user_ids
    held_out = pl.Series([str(ids[user]) for user in evidence.held_out_users], dtype=pl.String)
    both = int(held_out.is_in(users.implode()).sum())
    numbers: dict[str, object] = {
        "columns": counted, "counted_users": len(users), "held_out_users": len(held_out), "held_out_users_counted": both
    }  # fmt: skip
    columns = ", ".join(repr(name) for name in counted)
    if both == 0:
        message = f"{columns}: counted from {len(users):,} users, none of them a validation or test user."
        yield _Remark("ok", message, numbers)
        return
    yield _Remark(
        "leak",
        f"{columns}: counted from the interactions of {len(users):,} users, among them {of(both, len(held_out))} "
        "validation and test users of this split.",
        numbers,
    )


def _missing_values(evidence: Evidence, names: list[str]) -> Iterator[_Remark]:
    """Columns that have a value for what only held-out interactions touch, and none for what nobody touches."""
    from scipy.stats import fisher_exact  # noqa: PLC0415  (slow to import)

    learned, held_out = _interaction_counts(evidence)
    touched, untouched = (learned == 0) & (held_out > 0), (learned == 0) & (held_out == 0)
    if not touched.any() or not untouched.any():
        return
    for name in names:
        has_value = _has_value(evidence.dataset.catalog.metadata[name])
        one, other = int(has_value[touched].sum()), int(has_value[untouched].sum())
        num_touched, num_untouched = int(touched.sum()), int(untouched.sum())
        table = [[one, num_touched - one], [other, num_untouched - other]]
        p_value = float(fisher_exact(table, alternative="greater").pvalue)
        if p_value >= _UNLIKELY:
            continue
        telling = one / num_touched - other / num_untouched > _TELLING_DIFFERENCE
        yield _Remark(
            "leak" if telling else "warning",
            f"{name!r} has a value for {of(one, num_touched)} items that only held-out interactions touch, and for "
            f"{of(other, num_untouched)} that nobody touches: it tells {'' if telling else 'a little '}which items "
            "held-out users chose.",
            {"column": name, "with_value": one, "touched": num_touched, "untouched_with_value": other,
             "untouched": num_untouched, "p_value": p_value},
        )  # fmt: skip


def _amounts(evidence: Evidence, names: list[str]) -> Iterator[_Remark]:
    """Columns whose numbers rise with the held-out interactions of items that were learned from equally often."""
    learned, held_out = _interaction_counts(evidence)
    for name in names:
        amount = _amount(evidence.dataset.catalog.metadata[name])
        if amount is None:
            continue
        correlation, p_value = _grouped_rank_correlation(amount, held_out, groups=learned)
        if p_value < _UNLIKELY and correlation > _TELLING_CORRELATION:
            yield _Remark(
                "warning",
                f"{name!r} rises with the held-out interactions of items that were learned from equally often (rank "
                f"correlation {correlation:.2f}): it may count them.",
                {"column": name, "rank_correlation": correlation, "p_value": p_value},
            )


def _interaction_counts(evidence: Evidence) -> tuple[IntArray, IntArray]:
    """How often each item, in the order of the metadata's rows, was learned from and how often it was not."""
    size = evidence.dataset.catalog.num_items + 1
    learned = np.bincount(evidence.split.train_sequences.items, minlength=size)[1:]
    everything = np.bincount(evidence.dataset.log.sequences.items, minlength=size)[1:]
    return learned, np.maximum(everything - learned, 0)


def _has_value(column: pl.Series) -> NDArray[np.bool_]:
    """Whether each item has something to say: no null, blank text, empty list, zero or False."""
    if column.dtype == pl.String:
        found = column.str.strip_chars() != ""
    elif column.dtype == pl.List:
        found = column.list.len() > 0
    elif column.dtype.is_float():
        found = column.is_finite() & (column != 0)
    elif column.dtype.is_numeric():
        found = column != 0
    else:
        found = column if column.dtype == pl.Boolean else column.is_not_null()
    return found.fill_null(False).to_numpy()


def _amount(column: pl.Series) -> NDArray[np.float64] | None:
    """A number per item: the column's own, or how many values it lists (texts list them by "|"); else None."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if column.dtype == pl.List:
        return column.list.len().cast(pl.Float64).fill_null(0.0).to_numpy()
    if column.dtype == pl.String:
        listed = pl.select(
            pl.when(column.str.strip_chars() == "").then(0).otherwise(column.str.count_matches("|", literal=True) + 1)
        )
        return listed.to_series().cast(pl.Float64).fill_null(0.0).to_numpy()
    return None


def _grouped_rank_correlation(
    amount: NDArray[np.float64], held_out: IntArray, *, groups: IntArray
) -> tuple[float, float]:
    """Spearman's correlation within groups, pooled, and the one-sided p-value of its permutation distribution.

    Under permutations within groups the sum of the products of centered ranks has mean zero and the variance below; its
    tail is taken to be normal, as that of a sum of many terms.
    """
    from scipy.stats import norm  # noqa: PLC0415  (slow to import)

    frame = pl.DataFrame({"x": amount, "y": held_out, "group": groups}).filter(pl.col("x").is_not_nan())
    ranks = frame.select(*(pl.col(name).rank().over("group") for name in ("x", "y")), "group")
    centered = ranks.select(*(pl.col(name) - pl.col(name).mean().over("group") for name in ("x", "y")), "group")
    sums = centered.group_by("group").agg(
        product=(pl.col("x") * pl.col("y")).sum(), x=(pl.col("x") ** 2).sum(), y=(pl.col("y") ** 2).sum(), size=pl.len()
    )
    variance = float(
        sums.filter(pl.col("size") > 1).select((pl.col("x") * pl.col("y") / (pl.col("size") - 1)).sum()).item()
    )
    if variance == 0.0:
        return 0.0, 1.0
    product, x, y = (float(sums[name].sum()) for name in ("product", "x", "y"))
    return product / float(np.sqrt(x * y)), float(norm.sf(product / np.sqrt(variance)))
