"""Leaks between people and in time: users in two parts, targets that were learned, training after the fact."""

import numpy as np

from llara.data.examples import Examples
from llara.data.sequences import IntArray
from llara.leakage.evidence import Evidence, target_positions
from llara.leakage.finding import LeakageFinding, of, percent


def check_shared_users(evidence: Evidence) -> LeakageFinding:
    """Users in two parts of a split that keeps users apart."""
    name = "shared-users"
    if evidence.users_overlap_by_design:
        return LeakageFinding(
            name,
            "ok",
            f"the {evidence.split.name} split judges on users it has learned from, by design; see own-future.",
        )
    parts = {
        "training": evidence.split.train_sequences.user_index,
        "validation": evidence.split.validation.user_index,
        "test": evidence.split.test.user_index,
    }
    num_users = evidence.dataset.log.num_users
    members = {part: np.bincount(users, minlength=num_users) > 0 for part, users in parts.items()}
    shared = {
        f"{one}_{other}": int((members[one] & members[other]).sum())
        for one, other in (("training", "validation"), ("training", "test"), ("validation", "test"))
    }
    if any(shared.values()):
        pairs = ", ".join(f"{count:,} in {pair.replace('_', ' and ')}" for pair, count in shared.items() if count)
        return LeakageFinding(
            name,
            "leak",
            f"users are in two parts of the split: {pairs}. What was learned from a person is judged on the same "
            "person. Keep each user's rows in one part, or split with data.split.method=users.",
            shared,
        )
    if not evidence.names_users:
        return LeakageFinding(
            name,
            "warning",
            "the released rows name no users, so a person in two parts cannot be ruled out; it would show as "
            "near-duplicate-rows at most.",
            shared,
        )
    return LeakageFinding(name, "ok", "no user is in two parts of the split.", shared)


def check_own_future(evidence: Evidence) -> LeakageFinding:
    """Training sequences that reach the target of a row of the same user, or go past it."""
    reached = np.full(evidence.dataset.log.num_users, -1, dtype=np.int64)
    training = evidence.split.train_sequences
    np.maximum.at(reached, np.repeat(training.user_index, training.lengths), evidence.training_positions)
    parts = {"validation": evidence.split.validation, "test": evidence.split.test, evidence.part: evidence.rows}
    counts = {part: (_learned(rows, reached, evidence), len(rows)) for part, rows in parts.items()}
    learned, total = (sum(pair[place] for pair in counts.values()) for place in (0, 1))
    numbers = {f"{part}_rows": pair[0] for part, pair in counts.items()} | {"rows": total}
    if learned:
        return LeakageFinding(
            "own-future",
            "leak",
            f"the training sequence of the same user reaches the target or goes past it in {of(learned, total)} "
            "validation and test rows: their answers are learned. Cut training sequences before the first target, as "
            "data.split.method leave-one-out and time do.",
            numbers,
        )
    return LeakageFinding("own-future", "ok", "no training sequence reaches a target of the same user.", numbers)


def _learned(rows: Examples, reached: IntArray, evidence: Evidence) -> int:
    """How many rows have a target that their user's training sequence reaches."""
    trained = rows.select(np.flatnonzero(reached[rows.user_index] >= 0))
    if len(trained) == 0:
        return 0
    at = target_positions(evidence.dataset.log, trained)
    return int(((at >= 0) & (at <= reached[trained.user_index])).sum())


def check_future_training(evidence: Evidence) -> LeakageFinding:
    """Training interactions that happened after the targets on which their model is judged."""
    name = "future-training"
    if not evidence.has_times:
        return LeakageFinding(
            name,
            "warning",
            "the data set has an order within users but no times, so it cannot be known how much of the training part "
            "happened after the targets. Import the log with a time column to know.",
        )
    times = evidence.dataset.log.timestamps
    targets = times[evidence.row_positions[evidence.row_positions >= 0]]
    learned = times[evidence.training_positions[evidence.training_positions >= 0]]
    if len(targets) == 0 or len(learned) == 0:
        return LeakageFinding(name, "warning", "no target was found in the log, so times cannot be compared.")
    if evidence.split.name == "time":
        return _after_the_cutoff(evidence, learned, targets)
    later = {
        "later_than_earliest_target": float((learned > targets.min()).mean()),
        "later_than_median_target": float((learned > np.median(targets)).mean()),
    }
    if later["later_than_earliest_target"] == 0.0:
        return LeakageFinding(name, "ok", "no training interaction is later than a target.", later)
    return LeakageFinding(
        name,
        "note",
        f"{percent(later['later_than_median_target'])} of the training interactions are later than the median target, "
        f"{percent(later['later_than_earliest_target'])} later than the earliest: models learn what became popular "
        "after the moments they are judged at. It is so in the paper's protocol; data.split.method=time avoids it.",
        later,
    )


def _after_the_cutoff(evidence: Evidence, learned: IntArray, targets: IntArray) -> LeakageFinding:
    validation = target_positions(evidence.dataset.log, evidence.split.validation)
    times = evidence.dataset.log.timestamps[validation[validation >= 0]]
    first = min(targets.min(), times.min(initial=targets.min()))
    late = int((learned >= first).sum())
    numbers = {"late_interactions": late, "interactions": len(learned)}
    if late == 0:
        return LeakageFinding(
            "future-training", "ok", "everything that is learned from is earlier than every target.", numbers
        )
    return LeakageFinding(
        "future-training",
        "leak",
        f"{of(late, len(learned))} training interactions are not earlier than the first target, which the time split "
        "promises. Make the split with `split_dataset`.",
        numbers,
    )
