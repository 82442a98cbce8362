"""The leakage report: everything that could make a result look better than it is."""

from collections.abc import Collection, Sequence

from llara.data.candidates import CandidateSet
from llara.data.examples import Examples
from llara.data.folder import Dataset
from llara.data.splits import Split
from llara.leakage.candidates import check_target_in_history, check_target_position, check_touched_candidates
from llara.leakage.evidence import Evidence
from llara.leakage.finding import LeakageFinding
from llara.leakage.items import check_duplicate_titles, check_item_order
from llara.leakage.metadata import check_metadata
from llara.leakage.twins import check_near_duplicate_rows
from llara.leakage.users import check_future_training, check_own_future, check_shared_users


def check_leakage(
    dataset: Dataset,
    split: Split | None,
    *,
    examples: Examples | None = None,
    candidates: Sequence[CandidateSet] = (),
    part: str = "test",
    columns: Collection[str] | None = None,
    seed: int = 0,
) -> list[LeakageFinding]:
    """Look for everything that could make a result look better than it is.

    Args:
        dataset: The data.
        split: Its split. None: only what does not depend on one.
        examples: The rows that models are judged on. None: the rows of that part of the split.
        candidates: Candidate sets of these rows, one per draw. None of them: what depends on them is left out.
        part: The part that the rows belong to, "validation" or "test".
        columns: Metadata columns that a model reads. None: all of the catalog.
        seed: The one that `load_dataset` numbered the items with.

    Returns:
        One finding per check, in a fixed order.
    """
    findings = [check_duplicate_titles(dataset), check_item_order(dataset, seed=seed)]
    if split is None:
        return findings
    if examples is None:
        examples = split.validation if part == "validation" else split.test
    evidence = Evidence(
        dataset=dataset,
        split=split,
        rows=examples,
        draws=tuple(candidates),
        part=part,
        columns=None if columns is None else frozenset(columns),
    )
    findings += [
        check_shared_users(evidence),
        check_own_future(evidence),
        check_future_training(evidence),
        check_near_duplicate_rows(evidence),
        check_target_in_history(evidence),
        check_metadata(evidence),
    ]
    if evidence.draws:
        findings += [check_touched_candidates(evidence), check_target_position(evidence)]
    return findings
