"""Leaks in candidate sets: targets that stand out, negatives that are none, positions that tell the answer."""

from collections.abc import Sequence

import numpy as np

from llara.data.candidates import CandidateSet
from llara.data.examples import Examples
from llara.data.sequences import IntArray, Sequences
from llara.leakage.evidence import Evidence
from llara.leakage.finding import LeakageFinding, of, percent

_RECOGNIZABLE_LEAK = 0.01
_MOST_NEGATIVES = 1 << 20
_MOST_SETS = 1 << 18
_UNLIKELY = 1e-6


def check_target_in_history(evidence: Evidence) -> LeakageFinding:
    """Targets that the user had before, where no other candidate can be one."""
    rows = evidence.rows
    repeated = int((rows.history == rows.target[:, None]).any(axis=1).sum())
    numbers = {"repeated_targets": repeated, "rows": len(rows)}
    if repeated == 0:
        return LeakageFinding("target-in-history", "ok", "no target is in the visible history.", numbers)
    return LeakageFinding(
        "target-in-history",
        "leak" if repeated > _RECOGNIZABLE_LEAK * len(rows) else "warning",
        f"{of(repeated, len(rows))} {evidence.part} rows have their target in the visible history. Negatives are drawn "
        "from outside of it, so the one candidate that was there before is the answer. Import with --repeats first.",
        numbers,
    )


def check_touched_candidates(evidence: Evidence) -> LeakageFinding:
    """Negatives that their user touched at another time than the visible one."""
    most = max(1, _MOST_NEGATIVES // evidence.draws[0].items.shape[1])
    rows, draws = _thinned(evidence.rows, evidence.draws, most=most)
    keys = _touched_keys(evidence.dataset.log.sequences, rows, num_items=evidence.dataset.catalog.num_items)
    touched = total = 0
    for draw in draws:
        wanted = rows.user_index[:, None] * (evidence.dataset.catalog.num_items + 1) + draw.items  # [N, C]
        known = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
        known[np.arange(len(rows)), draw.target_column] = False
        touched, total = touched + int(known.sum()), total + known.size - len(rows)
    numbers = {"touched_negatives": touched, "negatives": total}
    if touched == 0:
        unknown = "" if evidence.names_users else ", as far as the released rows tell"
        message = f"no negative is an item that its user touched{unknown}."
        return LeakageFinding("touched-candidates", "ok", message, numbers)
    return LeakageFinding(
        "touched-candidates",
        "note",
        f"{of(touched, total)} negatives are items that their user touched outside the visible history: a model that "
        "puts them first is not wrong, but counts as wrong. data.candidates.exclude=touched leaves them out; the paper "
        "does not.",
        numbers,
    )


def _touched_keys(log: Sequences, rows: Examples, *, num_items: int) -> IntArray:
    """Sorted keys user * (num_items + 1) + item of everything that the rows' users touched."""
    sequences = log.select(np.unique(rows.user_index))
    return np.unique(np.repeat(sequences.user_index, sequences.lengths) * (num_items + 1) + sequences.items)


def check_target_position(evidence: Evidence) -> LeakageFinding:
    """Columns of the target that are not uniform, or depend on which item the target is.

    The usual test is a chi-square of the table of targets and columns. With 95 rows its cells hold a twentieth of a row
    each, and its p-value means nothing. These two are exact for any number of rows, each against a binomial with
    probability 1 / candidates: how often the target stands in the most and in the least frequent column, and how many
    disjoint pairs of sets with equal targets (two rows, or two draws of one row) have it in the same column. Draws of a
    row count as independent, because they are drawn so. By chance our own draws fail once in 500,000 evaluations.

    Source:
        A follow-up of LLaRA released data whose shuffle is seeded with the target's id: HR@1 .62 without any model.
    """
    rows, draws = _thinned(evidence.rows, evidence.draws, most=_MOST_SETS)
    columns = np.array([draw.target_column for draw in draws])  # [draws, N]
    num_columns = draws[0].items.shape[1]
    pairs, matches = _equal_target_pairs(rows.target, columns)
    counts = np.bincount(columns.ravel(), minlength=num_columns)
    p_uniform = _uniform_p_value(counts)
    p_independent = _at_least(matches, pairs, 1 / num_columns)
    numbers = {
        "sets": columns.size, "candidates": num_columns, "most_in_a_column": int(counts.max()),
        "least_in_a_column": int(counts.min()), "p_uniform": p_uniform, "pairs": pairs, "matches": matches,
        "p_independent": p_independent,
    }  # fmt: skip
    remedy = "A model can learn positions instead of items. Draw the sets again with `draw_candidates`."
    if p_independent < _UNLIKELY:
        message = (
            f"in {of(matches, pairs)} pairs of candidate sets with the same target it stands in the same column; by "
            f"chance it would in {percent(1 / num_columns)}. The position gives the target away. {remedy}"
        )
        return LeakageFinding("target-position", "leak", message, numbers)
    if p_uniform < _UNLIKELY:
        message = (
            f"of {columns.size:,} candidate sets, {counts.max():,} have the target in column {counts.argmax() + 1} and "
            f"{counts.min():,} in column {counts.argmin() + 1}; by chance each would get "
            f"{columns.size / num_columns:,.0f}. {remedy}"
        )
        return LeakageFinding("target-position", "leak", message, numbers)
    message = "the target's column is uniform and does not depend on the target."
    return LeakageFinding("target-position", "ok", message, numbers)


def _equal_target_pairs(target: IntArray, columns: IntArray) -> tuple[int, int]:
    """Disjoint pairs of sets with the same target, and how many have it in the same column.

    Args:
        target: Target of each row, shape [N].
        columns: Its column in each draw, shape [draws, N].
    """
    draw, row = np.indices(columns.shape).reshape(2, -1)
    order = np.lexsort((row, draw, target[row]))  # pairs of one draw first: a shuffle may be seeded per draw
    ordered, column = target[row][order], columns.ravel()[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(ordered)))
    place = np.arange(len(ordered)) - np.repeat(starts, sizes)
    first = np.flatnonzero((place % 2 == 0) & (place + 1 < np.repeat(sizes, sizes)))
    return len(first), int((column[first] == column[first + 1]).sum())


def _uniform_p_value(counts: IntArray) -> float:
    """Probability that some column is at least as rare or frequent, at most (Bonferroni)."""
    from scipy.stats import binom  # noqa: PLC0415  (slow to import)

    total, chance = counts.sum(), 1 / len(counts)
    rare = float(binom.cdf(counts.min(), total, chance))
    return min(1.0, 2 * len(counts) * min(rare, _at_least(int(counts.max()), int(total), chance)))


def _at_least(count: int, total: int, chance: float) -> float:
    from scipy.stats import binom  # noqa: PLC0415  (slow to import)

    return float(binom.sf(count - 1, total, chance))


def _thinned(rows: Examples, draws: Sequence[CandidateSet], *, most: int) -> tuple[Examples, list[CandidateSet]]:
    """Evenly spread rows, and the first draws of them: at most `most` candidate sets."""
    kept = list(draws[:most])
    if len(rows) * len(kept) <= most:
        return rows, kept
    chosen = np.linspace(0, len(rows) - 1, most // len(kept)).astype(np.int64)
    return rows.select(chosen), [CandidateSet(draw.items[chosen], draw.target_column[chosen]) for draw in kept]
