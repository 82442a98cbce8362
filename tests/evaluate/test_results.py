import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from llara.errors import DataError
from llara.evaluate import EvaluationReport, Interval, ModelResult, compare_results, markdown_table, results_table
from llara.evaluate import summary_sentence as summarize
from llara.evaluate.tables import ceiling_sentence
from llara.leakage import LeakageFinding

DRAWS, ROWS, CANDIDATES = 3, 40, 5
HASHES = ("aa", "bb", "cc")


def _result(name: str, *, hit_every: int, hashes: tuple[str, ...] = HASHES, seconds: float = 1.5) -> ModelResult:
    """Ranks 1 at every `hit_every`-th row, 2 elsewhere, in every draw."""
    ranks = np.where(np.arange(ROWS) % hit_every == 0, 1, 2)
    return ModelResult(name, np.tile(ranks, (len(hashes), 1)), CANDIDATES, hashes, seconds)


def _report() -> EvaluationReport:
    chosen = np.tile(np.array([7, 0, 9, 7]), (DRAWS, ROWS // 4))
    generated = ModelResult.from_choices(
        "free", chosen, target=np.full(ROWS, 7), num_candidates=CANDIDATES, candidate_hashes=HASHES, seconds=9
    )
    results = [_result("SASRec", hit_every=4), _result("LLaRA", hit_every=1), _result("same", hit_every=4), generated]
    return compare_results(results, baseline="SASRec")


def interval_of(result: ModelResult) -> Interval:
    interval = result.hit_interval()
    assert interval is not None
    return interval


def test_scores_become_ranks_per_draw() -> None:
    scores = np.array([[[0.1, 0.9], [0.8, 0.2]], [[0.5, 0.4], [0.1, 0.3]]])
    columns = np.array([[1, 1], [0, 1]])
    result = ModelResult.from_scores("m", scores, target_column=columns, candidate_hashes=["a", "b"], seconds=1)
    assert result.ranks.tolist() == [[1, 2], [1, 1]]
    assert (result.draws, result.rows, result.total, result.hits) == (2, 2, 4, 3)
    assert (result.hr(1), result.hr(2), result.mrr, result.ndcg(1)) == (0.75, 1, 0.875, 0.75)
    assert result.row_hits().tolist() == [1.0, 0.5]
    assert (result.valid_ratio, result.hit_ratio_given_valid) == (None, None)


def test_a_single_draw_may_come_without_its_axis() -> None:
    result = ModelResult.from_scores(
        "m", np.eye(3), target_column=np.array([0, 1, 0]), candidate_hashes=["a"], seconds=1
    )
    assert result.ranks.tolist() == [[1, 1, 2]]
    assert interval_of(result).method == "wilson"


def test_free_generation_divides_hits_by_all_rows() -> None:
    result = _report().result("free")
    assert (result.hits, result.total) == (60, 120)
    assert (result.hr(1), result.valid_ratio) == (0.5, 0.75)
    assert result.hit_ratio_given_valid == pytest.approx(60 / 90)
    assert all(math.isnan(value) for value in (result.hr(5), result.ndcg(10), result.mrr))


def test_free_generation_without_any_valid_answer_scores_zero() -> None:
    result = ModelResult.from_choices(
        "m", np.zeros(4, np.int64), target=np.array([1, 2, 3, 4]), num_candidates=20, candidate_hashes=["a"], seconds=0
    )
    assert (result.hr(1), result.valid_ratio) == (0, 0)
    assert result.hit_ratio_given_valid is not None
    assert math.isnan(result.hit_ratio_given_valid)
    assert 0 < interval_of(result).high < 1


def test_several_draws_are_one_row_of_their_user() -> None:
    assert interval_of(_result("m", hit_every=3)).method == "wilson over users"  # 40 users
    assert interval_of(_result("m", hit_every=1)).method == "wilson"
    assert interval_of(_result("m", hit_every=1)).low == pytest.approx(40 / (40 + 1.96**2), abs=1e-3)


def test_comparison_names_winner_and_tie() -> None:
    report = _report()
    assert report.comparisons["LLaRA"].verdict == "better"
    assert report.comparisons["LLaRA"].difference == 0.75
    assert report.comparisons["same"].verdict == "tie"
    assert "SASRec" not in report.comparisons
    assert (report.num_candidates, report.draws, report.rows, report.random_hit_ratio) == (5, 3, 40, 0.2)


def test_other_candidates_are_refused() -> None:
    with pytest.raises(DataError, match="'A' and 'B' were judged on different candidates \\(draw 2: sha256 cc and dd"):
        compare_results([_result("A", hit_every=2), _result("B", hit_every=3, hashes=("aa", "bb", "dd"))])
    with pytest.raises(DataError, match="3 draws x 40 rows x 5 candidates, model 'B' 1 x 40 x 5"):
        compare_results([_result("A", hit_every=2), _result("B", hit_every=3, hashes=("aa",))])


def test_full_ranking_shares_no_report_with_sampled_ranking() -> None:
    sampled = _result("A", hit_every=2)
    full = ModelResult("B", sampled.ranks, CANDIDATES, HASHES, 1.0, "full ranking")
    with pytest.raises(DataError, match="full ranking never shares a table"):
        compare_results([sampled, full])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compare_results([]), "at least one"),
        (lambda: compare_results([_result("A", hit_every=2)] * 2), "two results are named 'A'"),
        (lambda: compare_results([_result("A", hit_every=2)], baseline="B"), "no result is named 'B'; there are: A"),
        (lambda: _report().result("B"), "no result is named 'B'"),
        (lambda: ModelResult("m", np.array([1, 2]), 5, ("a",), 1.0), r"found shape \(2,\)"),
        (lambda: ModelResult("m", np.array([[1, 9]]), 5, ("a",), 1.0), "ranks in 1..5, found 1..9"),
        (lambda: ModelResult("m", np.array([[1, 2]]), 5, ("a", "b"), 1.0), "found 2 for 1 draws"),
        (lambda: ModelResult("m", np.array([[1]]), 5, ("a",), 1.0, "free generation"), "which answers are valid"),
        (
            lambda: ModelResult("m", np.array([[1]]), 5, ("a",), 1.0, "free generation", np.array([True])),
            "`valid` in the shape",
        ),
        (
            lambda: ModelResult.from_scores(
                "m", np.zeros((2, 3)), target_column=np.zeros(3, np.int64), candidate_hashes=["a"], seconds=1
            ),
            r"\(1, 2, 3\) and \(1, 3\)",
        ),
        (
            lambda: ModelResult.from_choices(
                "m",
                np.zeros(2, np.int64),
                target=np.zeros(3, np.int64),
                num_candidates=5,
                candidate_hashes=["a"],
                seconds=1,
            ),
            "expected chosen items",
        ),
    ],
)
def test_inconsistent_results_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_report_survives_json_and_disk(tmp_path: Path) -> None:
    report = _report()
    again = EvaluationReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.comparisons == report.comparisons
    assert again.result("free").valid_ratio == 0.75
    report.save(tmp_path / "evaluation" / "report.json")
    assert EvaluationReport.load(tmp_path / "evaluation" / "report.json").to_json() == report.to_json()


def test_json_is_strict_and_readable_without_us() -> None:
    summary = json.loads(_report().to_json())["summary"]
    assert summary["models"][3]["hr@5"] is None
    assert summary["models"][1]["hr@1"] == 1
    assert summary["models"][1]["versus_baseline"]["verdict"] == "better"
    assert summary["models"][0]["versus_baseline"] is None


def test_known_leaks_travel_with_the_numbers() -> None:
    leak = LeakageFinding("item-order", "leak", "sorted by item", {"share": 1.0})
    report = replace(_report(), known_leaks=(leak,))
    assert report.summary()["known_leaks"] == [
        {"name": "item-order", "level": "leak", "message": "sorted by item", "numbers": {"share": 1.0}}
    ]
    assert EvaluationReport.from_json(report.to_json()).known_leaks == (leak,)


def test_reports_from_before_leaks_were_recorded_can_be_read() -> None:
    content = json.loads(_report().to_json())
    del content["known_leaks"]
    assert EvaluationReport.from_json(json.dumps(content)).known_leaks == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 99}', '{"format_version": 1, "models": 3}'])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected an evaluation report"):
        EvaluationReport.from_json(text)
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"report\.json: expected"):
        EvaluationReport.load(path)
    with pytest.raises(DataError, match=r"missing\.json: there is no such"):
        EvaluationReport.load(tmp_path / "missing.json")


def test_terminal_table_shows_hits_interval_and_verdict() -> None:
    console = Console(width=140, record=True, file=StringIO())
    console.print(results_table(_report()))
    text = console.export_text()
    for part in (
        "30 / 120",
        "0.250 [",
        "+0.750 ▲ better",
        "= tie",
        "baseline",
        "0.750",
        "40 users x 3 candidate draws",
    ):
        assert part in text


def test_compact_table_fits_eighty_columns_and_loses_nothing() -> None:
    console = Console(width=80, record=True, file=StringIO())
    console.print(results_table(_report(), compact=True))
    text = console.export_text()
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "▲ better" in text


def test_model_names_are_no_markup() -> None:
    report = compare_results([_result("[red]a|b[/red]", hit_every=2)])
    console = Console(width=140, record=True, file=StringIO())
    console.print(results_table(report))
    assert "[red]a|b[/red]" in console.export_text()
    assert "a\\|b" in markdown_table(report)


def test_markdown_table_marks_the_best_and_dashes_what_does_not_apply() -> None:
    lines = markdown_table(_report()).splitlines()
    assert lines[0].startswith(
        "| model | hits / rows | HR@1 [95% interval] | HR@5 | NDCG@10 | MRR | ValidRatio | vs SASRec"
    )
    assert {line.count("|") for line in lines[:6]} == {10}
    assert lines[3].startswith("| **LLaRA** | 120 / 120 | 1.000 [")
    assert "| – | – | – | 0.750 |" in lines[5]


def test_summary_says_who_found_most_and_whether_it_is_sure() -> None:
    assert "100.0%" in summarize(_report())
    assert "the test rows support" in summarize(_report())
    close = compare_results([_result("SASRec", hit_every=4), _result("LLaRA", hit_every=3)], baseline="SASRec")
    assert "too close to call" in summarize(close)
    assert "no other model" in summarize(compare_results([_result("A", hit_every=2)], baseline="A"))
    assert "blind guess would reach 20.0%" in summarize(compare_results([_result("A", hit_every=2)]))


def test_compact_table_breaks_names_between_words_only_and_keeps_numbers_whole() -> None:
    names = ["popularity", "sasrec", "text-only LLaRA (listwise)", "hybrid LLaRA (free generation)"]
    results = [ModelResult(name, np.ones((20, 450), dtype=int), 20, ("h",) * 20, 1234.5) for name in names]
    console = Console(width=80, record=True, file=StringIO())
    console.print(results_table(compare_results(results, baseline="sasrec"), compact=True))
    text = console.export_text()
    for word in (*" ".join(names).split(), "9,000", "/ 9,000", "1.000", "baseline", "1,234.5", "NDCG@10", "= tie"):
        assert word in text
    assert re.search(r"\[0\.\d{3}, 1\.000\]", text)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_one_user_has_no_interval_and_decides_nothing_in_tables_json_and_file(tmp_path: Path) -> None:
    one = np.zeros(ROWS, dtype=np.int64)
    report = compare_results(
        [replace(_result(name, hit_every=n), users=one) for name, n in (("SASRec", 4), ("LLaRA", 2))], baseline="SASRec"
    )
    text = markdown_table(report)
    assert "| 0.500 – |" in text
    assert "| +0.250 not decided |" in text
    assert "One user says nothing about others" in text
    assert "too few users to say which is better" in summarize(report)
    shown = json.loads(json.dumps(report.summary(), allow_nan=False))["models"][1]
    assert (shown["hr@1_interval"], shown["versus_baseline"]["verdict"]) == (None, "not decided")
    report.save(tmp_path / "evaluation.json")
    assert EvaluationReport.load(tmp_path / "evaluation.json").comparisons == report.comparisons


def test_a_caption_says_that_few_users_say_little() -> None:
    def caption(users: int) -> str:
        found = replace(_result("SASRec", hit_every=4), users=np.arange(ROWS) % users)
        return markdown_table(compare_results([found])).splitlines()[-1]

    assert "3 users are few: small differences cannot be seen" in caption(3)
    assert "few" not in caption(10)


def test_the_sentence_has_the_digits_of_the_table() -> None:
    ranks = np.where(np.arange(80) < 37, 1, 2)[
        None
    ]  # 0.4625: halves are rounded up here, and to even as a share of 100
    report = compare_results([ModelResult("sasrec", ranks, CANDIDATES, ("aa",), 1.0)])
    assert "0.463" in markdown_table(report)
    assert "in 46.3% of the test rows" in summarize(report)


def test_the_ceiling_is_what_an_oracle_would_pick() -> None:
    ranks = {"one": [[1, 3, 2, 4]], "two": [[2, 1, 2, 4]], "sum": [[1, 2, 1, 4]]}
    results = [ModelResult(name, np.array(rows), 4, ("hash",), 1.0) for name, rows in ranks.items()]
    report = replace(compare_results(results, baseline="one"), members=("one", "two"))
    assert report.ceiling is not None
    assert report.ceiling.ranks.tolist() == [[1, 1, 2, 4]]
    found = report.summary()["ceiling"]
    assert (found["members"], found["hr@1"]) == (["one", "two"], 0.5)
    assert found["hr@1_interval"]["low"] < 0.5 < found["hr@1_interval"]["high"]
    again = EvaluationReport.from_json(report.to_json())
    assert again.members == ("one", "two")
    assert again.summary() == report.summary()
    said = "An oracle that picks the best of one and two in each row would reach HR@1 0.500 ["
    assert ceiling_sentence(report).startswith(said)
    alone = compare_results(results)
    assert alone.ceiling is None
    assert ceiling_sentence(alone) == ""
    with pytest.raises(DataError, match="no result is named 'three'"):
        replace(report, members=("one", "three"))
