"""The report as a whole."""

import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llara.data import Dataset, Split, split_dataset
from llara.data.splits import SplitConfig
from llara.errors import ConfigError
from llara.leakage import LEAK_NAMES, check_leakage, refuse_unknown_leaks
from llara.leakage.finding import WARNING_NAMES, of

if TYPE_CHECKING:
    from tests.leakage.conftest import Check


@pytest.mark.parametrize("name", [*LEAK_NAMES, *WARNING_NAMES])
@pytest.mark.parametrize("method", ["users", "leave-one-out", "time"])
def test_a_clean_data_set_passes_every_check(check: "Check", clean: Dataset, name: str, method: str) -> None:
    found = check(name, clean, method)
    expected = "note" if (name, method) == ("future-training", "leave-one-out") else "ok"
    assert found.level == expected, found.message


def test_every_check_reports_once_and_ready_for_json(clean: Dataset, split: Split) -> None:
    without_sets = check_leakage(clean, split)
    assert {finding.name for finding in without_sets} == {*LEAK_NAMES, *WARNING_NAMES} - {
        "target-position",
        "touched-candidates",
    }
    assert len({finding.name for finding in without_sets}) == len(without_sets)
    json.dumps([asdict(finding) for finding in without_sets], allow_nan=False)
    with pytest.raises(FrozenInstanceError):
        without_sets[0].level = "ok"  # type: ignore[misc]


def test_without_a_split_only_the_data_set_is_checked(clean: Dataset) -> None:
    assert [finding.name for finding in check_leakage(clean, None)] == ["duplicate-titles", "item-order"]


def test_the_validation_part_can_be_judged(check: "Check", clean: Dataset) -> None:
    split = split_dataset(clean, SplitConfig())
    found = check("near-duplicate-rows", clean, split, examples=split.validation, part="validation")
    assert "none of 20 validation rows" in found.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("item-ordr", "Did you mean 'item-order'"),
        ("zzz", "Valid are shared-users, own-future"),
        ("duplicate-titles", "warns at most, so there is nothing to allow"),
    ],
)
def test_only_checks_that_can_fail_can_be_allowed(name: str, message: str) -> None:
    refuse_unknown_leaks(LEAK_NAMES, where="data.allow_leaks")
    with pytest.raises(ConfigError, match=rf"data\.allow_leaks: .*{message}"):
        refuse_unknown_leaks(["item-order", name], where="data.allow_leaks")


def test_shares_are_readable() -> None:
    assert of(26, 2237) == "26 of 2,237 (1.16 %)"
    assert of(1, 1_000_000) == "1 of 1,000,000 (< 0.01 %)"
    assert of(0, 0) == "0 of 0 (0 %)"


def test_sound_data_raises_no_warning(tmp_path: Path) -> None:
    """The bundled sample under the paper's protocol: what is usual there is a note, so that a warning counts."""
    from llara.data import CandidateConfig, SplitConfig, draw_candidates, load_dataset, split_dataset
    from llara.ingest.sample import make_sample

    make_sample(tmp_path / "sample")
    dataset = load_dataset(tmp_path / "sample")
    split = split_dataset(dataset, SplitConfig())
    draw = draw_candidates(
        split.test, CandidateConfig(), num_items=dataset.catalog.num_items, train_sequences=split.train_sequences,
        all_sequences=dataset.log.sequences, draw=0,
    )  # fmt: skip
    levels = {finding.name: finding.level for finding in check_leakage(dataset, split, candidates=[draw])}
    assert set(levels.values()) == {"ok", "note"}
    assert levels["future-training"] == levels["touched-candidates"] == "note"
