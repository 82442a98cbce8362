"""Results of several seeds become one entry: means worked by hand, and what other runs said is kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_results import averaged, main
from docs.generate.comparisons import compared
from llara.errors import DataError
from llara.evaluate import EvaluationReport, ModelResult, compare_results


def result(name: str, ranks: list[list[int]]) -> ModelResult:
    return ModelResult(name, np.array(ranks), 20, tuple(f"hash {draw}" for draw in range(len(ranks))), 1.0)


def report(sasrec: list[list[int]], hybrid: list[list[int]]) -> EvaluationReport:
    return compare_results([result("sasrec", sasrec), result("hybrid", hybrid)], baseline="sasrec")


FIRST = report([[1, 2, 2, 2], [2, 2, 2, 2]], [[1, 1, 2, 2], [1, 2, 2, 2]])
SECOND = report([[2, 2, 2, 2], [2, 2, 2, 2]], [[1, 1, 1, 2], [1, 2, 2, 2]])


def run_folder(folder: Path, seed: int, found: EvaluationReport) -> Path:
    folder.mkdir()
    found.save(folder / "evaluation.json")
    (folder / "config.yaml").write_text(f"seed: {seed}\n", encoding="utf-8")
    manifest = {"data": {"name": "tiny"}, "seconds": {"training": 90.0, "evaluation": 30.0}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_the_mean_of_two_seeds_is_that_of_all_their_rows() -> None:
    models = averaged([FIRST, SECOND], seeds=[0, 1])
    hybrid = models["hybrid"]
    assert hybrid["hits"] == [3, 4]
    assert hybrid["hr@1"] == pytest.approx(7 / 16)
    assert hybrid["seeds"] == [0, 1]
    assert hybrid["versus"]["difference"] == pytest.approx(7 / 16 - 1 / 16)
    low, high = hybrid["interval"]
    assert low <= 7 / 16 <= high
    assert models["sasrec"]["versus"] is None


def test_models_of_runs_with_a_richer_recommender_are_compared_with_sasrec_too() -> None:
    ranks = {"sasrec": [[1, 2, 2, 2]], "fusion": [[1, 1, 2, 2]], "hybrid": [[1, 1, 1, 2]]}
    found = compare_results([result(name, rows) for name, rows in ranks.items()], baseline="fusion")
    models = averaged([found], seeds=[0])
    assert models["hybrid"]["versus"]["difference"] == pytest.approx(1 / 4)
    assert models["hybrid"]["versus_sasrec"]["difference"] == pytest.approx(2 / 4)
    assert models["fusion"]["versus_sasrec"]["baseline"] == "sasrec"
    assert models["sasrec"]["versus"]["baseline"] == "fusion"
    assert "versus_sasrec" not in models["sasrec"]
    assert "versus_sasrec" not in averaged([FIRST], seeds=[0])["hybrid"]


def test_runs_on_other_rows_are_refused() -> None:
    other = report([[1, 2, 2], [2, 2, 2]], [[1, 1, 2], [1, 2, 2]])
    with pytest.raises(DataError, match="same models on 4 rows"):
        averaged([FIRST, other], seeds=[0, 1])


def test_models_of_other_runs_stay_in_the_json(tmp_path: Path) -> None:
    stored = tmp_path / "stored.json"
    stored.write_text(json.dumps({"tiny": {"title": "Tiny", "models": {"text-only": {"hits": [5]}}}}), encoding="utf-8")
    runs = [run_folder(tmp_path / f"run-{seed}", seed, found) for seed, found in enumerate((FIRST, SECOND))]
    main(["tiny", *map(str, runs), "--output", str(stored), "--made", "today"])
    entry = json.loads(stored.read_text(encoding="utf-8"))["tiny"]
    assert entry["title"] == "Tiny"
    assert entry["minutes"] == [2.0, 2.0]
    assert entry["models"]["text-only"] == {"hits": [5]}
    assert (entry["models"]["hybrid"]["made"], entry["models"]["hybrid"]["seeds"]) == ("today", [0, 1])


def test_the_evaluation_may_lie_elsewhere(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", 3, FIRST)
    (tmp_path / "other").mkdir()
    SECOND.save(tmp_path / "other" / "evaluation.json")
    out = tmp_path / "out.json"
    main(["tiny", str(run), "--evaluation", str(tmp_path / "other"), "--output", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]["hybrid"]
    assert found["hits"] == [SECOND.result("hybrid").hits]
    assert found["seeds"] == [3]
    with pytest.raises(DataError, match="for each of 1 runs, found 2"):
        main(["tiny", str(run), "--evaluation", str(run), str(run), "--output", str(out)])


def test_one_model_may_get_another_name(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", 0, FIRST), tmp_path / "out.json"
    main(["tiny", str(run), "--output", str(out)])
    main(["tiny", str(run), "--only", "hybrid", "--name", "by itself", "--output", str(out)])
    models = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]
    assert list(models) == ["sasrec", "hybrid", "by itself"]
    with pytest.raises(DataError, match="found sasrec, hybrid"):
        main(["tiny", str(run), "--name", "both", "--output", str(out)])


def test_a_model_of_another_run_goes_without_its_runs_name(tmp_path: Path) -> None:
    ranks = {"sasrec": [[1, 2, 2, 2]], "hybrid": [[1, 1, 2, 2]], "hybrid, old": [[1, 1, 1, 2]], "text, old": [[2] * 4]}
    found = compare_results([result(name, rows) for name, rows in ranks.items()], baseline="sasrec")
    out = tmp_path / "out.json"
    main(["tiny", str(run_folder(tmp_path / "run", 0, found)), "--output", str(out)])
    assert list(json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]) == [
        "sasrec", "hybrid", "hybrid, old", "text",
    ]  # fmt: skip


def sliced_report(others: dict[str, list[list[int]]], counts: list[int]) -> EvaluationReport:
    ranks = {"sasrec": [[1, 2, 2, 2]], "text-sasrec": [[1, 1, 2, 2]], **others}
    results = [result(name, rows) for name, rows in ranks.items()]
    return compare_results(results, baseline="sasrec", sliced_by={"target_count": np.array(counts)})


def test_pairs_and_slices_are_stored_and_become_tables(tmp_path: Path) -> None:
    hybrid, alone = "hybrid LLaRA (sequence)", "hybrid LLaRA (sequence without fusion)"
    found = sliced_report({hybrid: [[1, 1, 1, 2]], alone: [[2, 2, 2, 2]]}, [0, 7, 7, 150])
    out = tmp_path / "out.json"
    main(["tiny", str(run_folder(tmp_path / "run", 0, found)), "--output", str(out)])
    entry = json.loads(out.read_text(encoding="utf-8"))["tiny"]
    differences = {(pair["model"], pair["against"]): pair["difference"] for pair in entry["pairs"]}
    assert differences == {(alone, "sasrec"): -0.25, (alone, "text-sasrec"): -0.5, (hybrid, "text-sasrec"): 0.25}
    slices = entry["slices"]["target_count"]
    assert [(bucket["bucket"], bucket["rows"]) for bucket in slices] == [("0", 1), ("5-19", 2), ("100+", 1)]
    assert slices[1]["hr@1"] == {"sasrec": 0.0, "text-sasrec": 0.5, alone: 0.0, hybrid: 1.0}
    assert slices[1]["difference"] == 0.5
    assert slices[0]["interval"] is None  # one user
    pairs, sliced = compared(entry)[1:]
    assert "| hybrid, by itself | SASRec over texts | -0.500 [" in pairs
    assert "| 5-19 | 2 | 0.000 | 0.500 | 0.000 | 1.000 | +0.500" in sliced
    assert "| 0 | 1 | 1.000 | 1.000 | 0.000 | 1.000 | +0.000, of too few users to say |" in sliced


def test_an_entry_without_comparisons_has_no_such_tables() -> None:
    assert compared({"models": {}}) == []
