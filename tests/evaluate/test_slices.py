"""Results split by how rare the target is and how long the history is."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from llara.data import Examples, IntArray, Sequences
from llara.errors import DataError
from llara.evaluate import (
    SLICINGS,
    BoolArray,
    EvaluationReport,
    ModelResult,
    ReportContent,
    SlicedResults,
    Slicing,
    behavior_of,
    compare_results,
    render_report,
)
from llara.evaluate.figures import report_figures
from llara.evaluate.slice_tables import slice_rows, slice_table
from llara.evaluate.slices import HISTORY_LENGTH, TARGET_COUNT
from llara.evaluate.statistics import wilson_interval
from llara.recommender import Popularity

CANDIDATES = 20
COUNTS = np.array([0] * 20 + [3] * 30 + [1000] * 50)
"""Occurrences of each row's target: 20 rows of items that are new, 30 of rare ones, 50 of frequent ones."""


def _result(name: str, hits: BoolArray, *, users: IntArray | None = None) -> ModelResult:
    """Rank 1 where `hits`, shape [draws, N], else 2."""
    hashes = tuple("abcdefgh"[: len(hits)])
    return ModelResult(name, np.where(hits, 1, 2), CANDIDATES, hashes, 1.0, users=users)


def _planted(*, users: IntArray | None = None) -> EvaluationReport:
    """sasrec is right where the target is frequent, hybrid where it is rare, popularity nowhere."""
    frequent = np.tile(COUNTS == 1000, (2, 1))
    rare = np.tile(COUNTS == 3, (2, 1))
    results = [_result("popularity", np.zeros_like(frequent)), _result("sasrec", frequent), _result("hybrid", rare)]
    results = [replace(result, users=users) for result in results]
    return compare_results(results, baseline="sasrec", sliced_by={"target_count": COUNTS})


def _shown(sliced: SlicedResults, *, width: int = 120) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(slice_table(sliced, baseline="sasrec", compact=width < 100))
    return console.export_text()


def test_buckets_read_as_their_values() -> None:
    counts = np.array([0, 1, 4, 5, 19, 20, 99, 100, 10**6])
    buckets = TARGET_COUNT.buckets(counts)
    assert [bucket.label for bucket in buckets] == ["0", "1-4", "5-19", "20-99", "100+"]
    assert [counts[bucket.holds(counts)].tolist() for bucket in buckets] == [
        [0], [1, 4], [5, 19], [20, 99], [100, 10**6]
    ]  # fmt: skip
    assert len(TARGET_COUNT.buckets(np.array([0]))) == 5


@pytest.mark.parametrize(
    ("longest", "labels"),
    [
        (10, ["0", "1-2", "3-5", "6-9", "10+"]),
        (7, ["0", "1-2", "3-5", "6+"]),
        (50, ["0", "1-2", "3-5", "6-9", "10-19", "20-49", "50+"]),
        (0, ["0+"]),
    ],
)
def test_the_last_bucket_of_histories_is_open_at_the_longest(longest: int, labels: list[str]) -> None:
    assert [bucket.label for bucket in HISTORY_LENGTH.buckets(np.array([0, longest]))] == labels


@given(st.sampled_from(list(SLICINGS.values())), st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_buckets_partition_the_rows(slicing: Slicing, values: list[int]) -> None:
    rows = np.array(values)
    found = np.concatenate([bucket.holds(rows) for bucket in slicing.buckets(rows)])
    assert sorted(found) == list(range(len(values)))


@st.composite
def _judged(draw: st.DrawFn) -> EvaluationReport:
    """A scored and a generating model on some rows and draws, with one or several rows a user."""
    rows, draws = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    users = rng.integers(0, 8, rows) if draw(st.booleans()) else None
    hashes = tuple("abc"[:draws])
    scored = ModelResult("sasrec", rng.integers(1, 4, (draws, rows)), CANDIDATES, hashes, 1.0, users=users)
    written = ModelResult.from_choices(
        "free", rng.integers(0, 4, (draws, rows)), target=np.full(rows, 2), num_candidates=CANDIDATES,
        candidate_hashes=hashes, seconds=1.0, users=users,
    )  # fmt: skip
    sliced_by = {"target_count": rng.integers(0, 150, rows), "history_length": rng.integers(0, 13, rows)}
    return compare_results([scored, written], baseline="sasrec", sliced_by=sliced_by)


@settings(max_examples=25)
@given(_judged())
def test_slices_weighed_by_their_rows_give_the_table_of_all_rows(report: EvaluationReport) -> None:
    assert [sliced.slicing.key for sliced in report.slices] == ["target_count", "history_length"]
    for sliced in report.slices:
        rows = np.array([one.rows for one in sliced.slices])
        assert rows.sum() == report.rows
        for models, result in zip(sliced.by_model(), report.results, strict=True):
            assert [model.name for model in models] == [result.name] * len(rows)
            assert rows @ [model.hit_ratio for model in models] / report.rows == pytest.approx(result.hr(1))


@settings(max_examples=15)
@given(_judged())
def test_a_slice_of_all_rows_is_the_table(report: EvaluationReport) -> None:
    whole = replace(report, sliced_by={"target_count": np.full(report.rows, 7)})
    (one,) = whole.slices[0].slices
    assert (one.bucket.label, one.rows, one.users) == ("5-19", report.rows, report.results[0].num_users)
    for model, result in zip(one.models, report.results, strict=True):
        assert (model.hit_ratio, model.interval) == (result.hr(1), result.hit_interval())
        assert model.versus_baseline == report.comparisons.get(model.name)


def test_a_model_that_is_right_on_rare_targets_only_shows_it_there() -> None:
    report = _planted()
    (sliced,) = report.slices
    assert [(one.bucket.label, one.rows) for one in sliced.slices] == [("0", 20), ("1-4", 30), ("100+", 50)]
    assert [bucket.label for bucket in sliced.empty] == ["5-19", "20-99"]
    ratios = {models[0].name: [model.hit_ratio for model in models] for models in sliced.by_model()}
    assert ratios == {"popularity": [0, 0, 0], "sasrec": [0, 0, 1], "hybrid": [0, 1, 0]}
    verdicts = [one.models[2].versus_baseline for one in sliced.slices]
    assert [test.verdict for test in verdicts if test is not None] == ["tie", "better", "worse"]
    assert report.comparisons["hybrid"].difference == pytest.approx(-0.2)


def test_rows_of_a_slice_count_by_user() -> None:
    """Rows 20 to 49 are of three users with 10 each, of whom two always hit: no more than two hits of three."""
    users = np.concatenate([np.arange(20), 20 + np.arange(30) // 10, 23 + np.arange(50)])
    hits = np.tile((COUNTS == 3) & (users < 22), (2, 1))
    report = compare_results([_result("m", hits, users=users)], sliced_by={"target_count": COUNTS})
    rare = report.slices[0].slices[1]
    assert (rare.rows, rare.users) == (30, 3)
    (model,) = rare.models
    assert model.hit_ratio == pytest.approx(2 / 3)
    assert model.interval is not None
    assert model.interval.method == "wilson over users"
    assert model.interval.low <= wilson_interval(2, 3).low
    assert model.interval.high >= wilson_interval(2, 3).high


def test_a_bucket_of_one_user_has_no_interval_and_decides_nothing() -> None:
    report = _planted(users=np.concatenate([np.arange(20), np.full(30, 20), 21 + np.arange(50)]))
    rare = report.slices[0].slices[1]
    assert (rare.rows, rare.users) == (30, 1)
    hybrid = rare.models[2]
    assert hybrid.interval is None
    assert hybrid.versus_baseline is not None
    assert (hybrid.versus_baseline.verdict, hybrid.versus_baseline.interval) == ("not decided", None)
    summary = json.loads(json.dumps(report.summary(), allow_nan=False))["slices"][0]["slices"][1]["models"][2]
    assert (summary["hr@1_interval"], summary["versus_baseline"]["verdict"]) == (None, "not decided")


def test_targets_are_counted_as_popularity_counts_them() -> None:
    train = Sequences.from_lists([[1, 2, 1], [1, 3]])
    examples = Examples(np.array([[1, 2], [3, 0], [0, 0]]), np.array([2, 1, 0]), np.array([1, 2, 9]), np.arange(3))
    found = behavior_of(examples, train)
    assert {key: values.tolist() for key, values in found.items()} == {
        "target_count": [3, 1, 0], "history_length": [2, 1, 0]
    }  # fmt: skip
    counts = np.expm1(Popularity.from_sequences(train, num_items=9).log_counts.numpy())
    assert counts[examples.target] == pytest.approx(found["target_count"])
    assert list(behavior_of(examples)) == ["history_length"]


def test_slices_survive_json() -> None:
    report = replace(_planted(), sliced_by={"target_count": COUNTS, "history_length": np.arange(100) % 11})
    again = EvaluationReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.slices == report.slices
    summary = json.loads(report.to_json())["summary"]["slices"]
    assert [(sliced["by"], sliced["empty"]) for sliced in summary] == [
        ("target_count", ["5-19", "20-99"]), ("history_length", [])
    ]  # fmt: skip
    rare = summary[0]["slices"][1]
    assert {key: rare[key] for key in ("bucket", "low", "high", "rows", "users")} == {
        "bucket": "1-4", "low": 1, "high": 4, "rows": 30, "users": 30
    }  # fmt: skip
    hybrid = rare["models"][2]
    assert (hybrid["name"], hybrid["hr@1"], hybrid["versus_baseline"]["difference"]) == ("hybrid", 1, 1)
    assert hybrid["versus_baseline"]["p_value"] < 0.001
    assert 0.8 < hybrid["hr@1_interval"]["low"] < hybrid["hr@1_interval"]["high"] == 1


def test_reports_from_before_there_were_slices_can_be_read() -> None:
    content = json.loads(_planted().to_json())
    del content["sliced_by"], content["summary"]["slices"]
    old = EvaluationReport.from_json(json.dumps(content))
    assert (old.slices, old.summary()["slices"]) == ((), [])
    assert 'id="slices"' not in render_report(ReportContent("t", "s", old))


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("size", COUNTS, "told apart by one of target_count, history_length, found 'size'"),
        ("target_count", COUNTS[:-1], r"of each of the 100 rows, found int64 values of shape \(99,\)"),
        ("target_count", COUNTS / 2, "a whole number >= 0 as target_count .* found float64"),
        ("history_length", COUNTS - 1, "from -1"),
    ],
)
def test_numbers_of_other_rows_are_refused(key: str, values: IntArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(_planted(), sliced_by={key: values})


def test_report_shows_slices_as_table_and_picture_and_says_what_is_empty() -> None:
    report = _planted()
    html = render_report(ReportContent("t", "s", report))
    section = html[html.index('<section id="slices">') : html.index('<section id="reading">')]
    for part in (
        "HR@1 by how often the right item occurs in training", "1-4<br>30 rows", "compare the models within a column",
        "+1.000 ▲ better", "-1.000 ▼ worse", "Left out, since no row falls there: 5-19, 20-99.",
    ):  # fmt: skip
        assert part in section
    assert section.count("<svg ") == 1
    assert 'href="#slices"' in html
    names = [figure.name for figure in report_figures(ReportContent("t", "s", report))]
    assert names == ["hr_at_1", "hr_at_1_by_target_count"]


def test_rows_of_one_bucket_need_no_second_table() -> None:
    html = render_report(ReportContent("t", "s", replace(_planted(), sliced_by={"history_length": np.full(100, 10)})))
    assert "All rows are in the bucket 10+" in html
    assert html.count("<svg ") == 1
    assert html.count("<table") == 1


def test_more_models_than_colors_are_drawn_apart() -> None:
    rng = np.random.default_rng(0)
    results = [_result(f"$model {number}$", rng.random((1, 100)) < 0.5) for number in range(14)]
    report = compare_results(results, sliced_by={"target_count": COUNTS})
    figure = report_figures(ReportContent("t", "s", report))[1].figure
    lines = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("$model")]
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in lines}
    assert len(lines) == 14
    assert len(looks) == 12, "four colors in three kinds of lines"
    assert "$model 3$" in render_report(ReportContent("t", "s", report))


def test_cells_name_the_baseline_and_the_best_of_each_column() -> None:
    rows = dict(slice_rows(_planted().slices[0], baseline="sasrec"))
    assert [cell.versus for cell in rows["sasrec"]] == ["baseline"] * 3
    assert [cell.best for cell in rows["hybrid"]] == [True, True, False]
    assert rows["hybrid"][1].value.startswith("1.000 [0.8")


def test_terminal_table_has_counts_intervals_and_marks() -> None:
    wide = _shown(_planted().slices[0])
    for part in ("▲ better, ▼ worse than sasrec", "1-4", "30 rows", "1.000 [0.886, 1.000] ▲", "5-19, 20-99"):
        assert part in wide
    narrow = _shown(_planted().slices[0], width=80)
    assert "1.000 ▲" in narrow
    assert "[0" not in narrow
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
