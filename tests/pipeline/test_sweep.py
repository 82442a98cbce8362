"""A sweep of tiny runs: each combination once, what is shared once, what is finished kept, and one page."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from llara.evaluate import EvaluationReport, paired_test
from llara.evaluate.statistics import holm
from llara.run.sweep import read_sweep

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def sweep_file(world: "World", name: str, **changes: Any) -> Path:
    world.config("swept")
    content = {
        "base": "swept.yaml",
        "output": str(world.folder / name),
        "settings": ["recommender_prior=true", "prior_folds=2", "train.objective.name=listwise"],
        "axes": {
            "curriculum": {"paper": [], "text-only": ["train.curriculum.kind=text-only"]},
            "rate": {"usual": [], "wild": ["train.optimizer.learning_rate=1e+39"]},
        },
        "skip": [{"curriculum": "text-only", "rate": ["wild"]}],
        **changes,
    }
    path = world.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_combinations_are_trained_once_and_compared_on_one_page(dataset: "World") -> None:
    """The first attempt has a run that fails, which does not stop the others; the second one leaves it out."""
    out = dataset.folder / "swept-all"
    said = dataset.llara("sweep", sweep_file(dataset, "swept-all"), "--workers", "2").refused()
    assert "1 of 3 runs failed" in said
    assert "training diverged" in said
    assert "Traceback" in (out / "logs" / "paper-wild.log").read_text(encoding="utf-8")
    runs = [out / "runs" / name for name in ("paper-usual", "text-only-usual")]
    made = [(run / "manifest.json").stat().st_mtime_ns for run in runs]
    path = sweep_file(dataset, "swept-all", skip=[{"rate": "wild"}])
    found = dataset.llara("sweep", path, "--json").json()
    assert [(run / "manifest.json").stat().st_mtime_ns for run in runs] == made

    # A recommender, and those of two folds for the runs that have a prior: fitted once, alike in all runs.
    shared = [folder.name for folder in (out / "shared").iterdir()]
    assert sorted(name.partition("-")[2] for name in shared) == ["", "2"]
    weights = [next((run / "recommender").glob("*.safetensors")).read_bytes() for run in runs]
    assert weights[0] == weights[1]

    # The numbers are those of the runs, and tests are paired.
    reports = [EvaluationReport.load(run / "evaluation.json") for run in runs]
    ours = [next(r for r in report.results if "LLaRA (" in r.name) for report in reports]
    test = paired_test(ours[1].row_hits(), ours[0].row_hits(), users=ours[0].users)
    cells = {", ".join(cell["options"].values()): cell for cell in found["cells"]}
    assert {name: cell["hr@1"] for name, cell in cells.items()} == {
        "paper, usual": pytest.approx(ours[0].hit_ratio), "text-only, usual": pytest.approx(ours[1].hit_ratio),
    }  # fmt: skip
    ratios = [cell["hr@1"] for cell in found["cells"]]
    assert ratios == sorted(ratios, reverse=True)
    for compared in (found["against_first"][0], found["options"]["curriculum"][0]):
        assert compared["test"]["difference"] == pytest.approx(test.difference)
        assert compared["adjusted"] >= test.p_value
    assert "rate" not in found["options"]

    page = (out / "sweep.html").read_text(encoding="utf-8")
    assert "text-only, usual" in page
    assert "Holm" in page
    assert (out / "sweep.png").stat().st_size > 5_000
    assert "| paper, usual |" in (out / "sweep.md").read_text(encoding="utf-8")
    assert "ranking with" in (out / "logs" / "paper-usual.log").read_text(encoding="utf-8")

    # A run that is gone is made again, with the recommender that is there.
    shutil.rmtree(runs[1])
    again = dataset.llara("sweep", path, "--workers", "1")
    assert "sweep.html" in again.out
    assert (runs[0] / "manifest.json").stat().st_mtime_ns == made[0]
    assert (runs[1] / "evaluation.json").is_file()
    said = dataset.llara("sweep", sweep_file(dataset, "swept-all", settings=["train.epochs=3"])).refused()
    assert "was trained with other settings" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"a": {"b": ["data.seed=1"]}}}, "all runs of a sweep are judged on the same rows"),
        ({"axes": {"a": {}}}, "axes.a has no option"),
        ({"axes": {"a": {"b": []}}, "skip": []}, "a sweep compares combinations, found 1"),
        ({"axes": {"a": {"b": ["train.nonsense=1"], "c": []}}, "skip": []}, "combination 'b': "),
        ({"skip": [{"nothing": "usual"}]}, "skip names the axis 'nothing'"),
        ({"skip": [{"rate": "slow"}]}, "skip names 'slow' of axis 'rate', which has: usual, wild"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0"),
        ({"sedes": [1]}, "sedes: "),
        ({"base": "missing.yaml"}, "missing.yaml"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_said_before_anything_is_trained(
    dataset: "World", changes: dict[str, Any], message: str
) -> None:
    path = sweep_file(dataset, "swept-wrong", **changes)
    assert message in dataset.llara("sweep", path).refused()
    assert not (dataset.folder / "swept-wrong").exists()


def test_a_backbone_that_is_not_there_is_refused_before_anything_is_trained(dataset: "World") -> None:
    path = sweep_file(dataset, "swept-nowhere", axes={"a": {"b": [], "c": ["backbone.path=/nowhere"]}}, skip=[])
    assert "/nowhere" in dataset.llara("sweep", path).refused()
    assert not (dataset.folder / "swept-nowhere").exists()


def test_other_refusals(dataset: "World") -> None:
    assert "does not exist" in dataset.llara("sweep", dataset.folder / "none.yaml").refused()
    path = sweep_file(dataset, "swept-few")
    assert "--workers must be at least 1" in dataset.llara("sweep", path, "--workers", "0").refused()


def test_cells_with_the_same_settings_share_a_run_and_seeds_have_their_own(dataset: "World") -> None:
    axes = {"one": {"plain": [], "same": ["train.curriculum.kind=paper"], "other": ["train.epochs=3"]}}
    sweep = read_sweep(sweep_file(dataset, "swept-same", axes=axes, skip=[], seeds=[0, 3]))
    assert [len(cell.runs) for cell in sweep.cells] == [2, 2, 2]
    assert len(sweep.runs) == 4
    assert sweep.cells[0].runs == sweep.cells[1].runs
    assert [run.seed for run in sweep.cells[2].runs] == [0, 3]
    assert [run.recommender.fit.seed for run in sweep.cells[2].runs] == [0, 3]
    assert {run.data.seed for run in sweep.runs} == {0}


def test_the_ablation_that_is_shipped_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    sweep = read_sweep(root / "configs" / "ablation-movielens.yaml")
    assert len(sweep.cells) == 2 * 4 * 3 + 2
    assert len(sweep.runs) == len(sweep.cells)


def test_holm_raises_p_values_by_how_many_are_left() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    rng = np.random.default_rng(0)
    drawn = rng.random(20).tolist()
    assert all(raised >= p for raised, p in zip(holm(drawn), drawn, strict=True))
    assert json.loads(json.dumps(holm(drawn))) == holm(drawn)
