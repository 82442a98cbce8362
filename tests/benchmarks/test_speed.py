"""The speed benchmark: the plain implementation computes what ours computes, and one tiny run from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cost_curves, speed, speed_stage
from benchmarks.reference import PlainModel
from benchmarks.workload import Workload, open_llara, open_workload, prepare
from llara.data import sample_candidates
from llara.model import Llara, score_candidates
from llara.prompt import collate
from llara.train.objectives import Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("speed")
    prepare(made, shapes=["tiny"])
    return made


@pytest.fixture(scope="module")
def workload(folder: Path) -> Workload:
    return open_workload(folder)


def both(folder: Path, workload: Workload, dtype: torch.dtype) -> tuple[PlainModel, Llara]:
    """Both models with the same weights, without dropout."""
    llara = open_llara(folder, "tiny", workload, precision="float32").eval()
    plain = PlainModel(str(folder / "tiny"), llara, precision="float32")
    plain.model.eval()
    ours = dict(llara.model.named_parameters())
    with torch.no_grad():
        for name, weight in plain.model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
                ours[name].copy_(weight)
    llara.to(dtype)
    plain.model.to(dtype)
    plain.item_table = llara.item_table
    return plain, llara


def test_scores_are_those_of_one_pass_per_candidate(folder: Path, workload: Workload) -> None:
    plain, llara = both(folder, workload, torch.float32)
    histories, candidates = workload.test.histories()[:3], workload.candidates.items.tolist()[:3]
    found = score_candidates(llara, histories, candidates, scorer="answer")
    with llara.folded():
        folded = score_candidates(llara, histories, candidates, scorer="answer")
    for row, (history, items) in enumerate(zip(histories, candidates, strict=True)):
        answers = [llara.encoder.answer_tokens(item) for item in items]
        expected = plain.score_each(llara.encode_prompt(history, items), answers)
        np.testing.assert_allclose(found[row], expected, atol=1e-4, rtol=1e-6)
        np.testing.assert_allclose(folded[row], expected, atol=1e-4, rtol=1e-6)


def test_losses_and_gradients_are_those_of_plain_training(folder: Path, workload: Workload) -> None:
    plain, llara = both(folder, workload, torch.float64)  # where rounding hides no difference
    rows = np.arange(6)
    examples = workload.train.select(rows)
    items = sample_candidates(
        examples, num_items=llara.catalog.num_items, num_negatives=19, seed=0, draw=0, row_numbers=rows
    ).items.tolist()
    prompts = [llara.encode_prompt(history, shown) for history, shown in zip(examples.histories(), items, strict=True)]
    answers = [llara.encoder.answer_tokens(int(target)) for target in examples.target]
    batch = collate(prompts, answers=answers, hybrid=[True] * 6, filler=llara.encoder.filler)
    losses = Answer().losses(llara(batch, listwise=False), batch, torch.zeros(6))
    # The plain loss is a mean over tokens, ours one over examples.
    tokens = torch.tensor([len(answer) for answer in answers])
    mean = (losses * tokens).sum() / tokens.sum()
    expected = plain.loss(prompts, answers)
    torch.testing.assert_close(mean.double(), expected.double(), atol=1e-5, rtol=1e-5)
    theirs = {name: weight for name, weight in plain.model.named_parameters() if "lora_" in name}
    ours = dict(llara.model.named_parameters())
    found = torch.autograd.grad(mean, [ours[name] for name in theirs])
    for mine, other in zip(found, torch.autograd.grad(expected, list(theirs.values())), strict=True):
        assert (mine - other).norm() < 1e-6 * other.norm()


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak is looked for with matrices of milliseconds."""
    monkeypatch.setattr(speed_stage, "_PEAK_SHAPES", ((64, 64, 64), (128, 64, 64)))


@pytest.mark.parametrize("stage", ["peak", "train", "answer", "listwise"])
def test_our_stages_report_rates_and_operations(
    stage: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["stage", str(folder), stage, "--shape", "tiny", "--rows", "8"])
    speed_stage.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["flops"] > 0
    assert ("rows_per_second" in figures) == (stage != "peak")


@pytest.mark.parametrize("stage", ["reference-train", "reference-generate", "reference-each"])
def test_plain_stages_report_rates(
    stage: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["stage", str(folder), stage, "--shape", "tiny", "--rows", "1"])
    speed_stage.main()
    assert json.loads(capsys.readouterr().out)["rows_per_second"] > 0


def stages(train: float) -> dict[str, dict[str, float]]:
    figures = {"rows_per_second": 1.0, "flops": 5e9, "peak_bytes": 2e9, "cores_of_others": 0.0}
    names = ("train", "answer", "listwise", "reference-train", "reference-generate", "reference-each", "peak")
    return {**{name: dict(figures) for name in names}, "train": {**figures, "rows_per_second": train}}


def test_a_goal_that_is_missed_says_so() -> None:
    report = {
        "machine": {"date": "", "cores": 2, "processor": "", "memory_bytes": 1, "system": "", "versions": {}},
        "rounds": 1,
        "shapes": {"135m": {"float32": stages(2.5), "bfloat16": stages(2.4)}},
    }
    lines = speed.as_markdown(report).splitlines()
    training = [line for line in lines if line.startswith("| LoRA training")]
    assert [line.endswith("| yes |") for line in training] == [True, False]
    assert "2.40 x | **no** |" in training[1]


def test_curves_have_a_rate_per_size_and_an_exponent(folder: Path, tmp_path: Path) -> None:
    options = ["--folder", str(folder), "--shape", "tiny", "--rows", "2", "--catalogs", "100", "1000"]
    cost_curves.main([*options, "--output", str(tmp_path / "curves.json")])
    report = json.loads((tmp_path / "curves.json").read_text())
    assert {name: list(rates) for name, rates in report["curves"].items()} == {
        **{f"{scorer} scoring, candidates": ["5", "20", "100"] for scorer in ("listwise", "answer")},
        **{f"{scorer} scoring, history length": ["5", "10", "50"] for scorer in ("listwise", "answer")},
        **{f"{scorer} scoring, draws of a history": ["1", "5", "20"] for scorer in ("listwise", "answer")},
        "retrieval, catalog": ["100", "1000"],
    }
    assert all(rate > 0 for rates in report["curves"].values() for rate in rates.values())
    report["curves"] = {"x": {"10": 4.0, "20": 2.0, "40": 1.0}}
    assert cost_curves.as_markdown(report).endswith("| x | 10: 4.00, 20: 2.00, 40: 1.00 | 1.00 |")
