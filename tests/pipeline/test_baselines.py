"""Further baselines are judged on the candidates of an evaluation, and stored beside what a run said."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.baselines import main
from benchmarks.real_results import main as store
from llara.evaluate import EvaluationReport
from tests.recommender.tiny_encoder import encoder_folder

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def test_baselines_stand_beside_the_run_on_the_same_rows(world: "World", tmp_path: Path) -> None:
    encoder = encoder_folder(tmp_path / "encoder", ("Story", *map(str, range(32))))
    chosen = (
        "recommender.name=fusion", "recommender.fusion.members=[text-sasrec,sasrec,counts,text]",
        f"recommender.text.encoder={encoder}", "recommender_prior=true", "prior_folds=0",
        "train.objective.name=sequence", "sequence.items=vectors", "sequence.texts=encoder",
        "train.windows.length=4", "evaluate.validation_rows=dense",
    )  # fmt: skip
    run, out = world.folder / "beside", tmp_path / "out.json"
    world.llara("train", world.config("beside"), *(part for setting in chosen for part in ("--set", setting)))
    store(["tiny", str(run), "--output", str(out)])
    before = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]
    main(["tiny", str(run), str(run), "--output", str(out)])
    after = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]
    assert {name: after[name] for name in before} == before
    added = [name for name in after if name not in before]
    assert added[:2] == ["ease", "text-sasrec without ids"]
    assert added[2:6] == [f"sasrec + {name}" for name in ("ease", "counts", "text", "text-sasrec without ids")]
    assert added[6:] == ["hybrid LLaRA (sequence) + sasrec"]
    report = EvaluationReport.load(run / "evaluation.json")
    assert {after[name]["total"] for name in added} == {report.results[0].total}
    assert all(after[name]["versus"]["baseline"] == "fusion" for name in added)


def test_of_a_run_that_learned_answers_the_model_stands_beside_sasrec(world: "World", tmp_path: Path) -> None:
    run, out = world.folder / "answers-beside", tmp_path / "out.json"
    chosen = ("recommender.name=fusion", "recommender.fusion.members=[sasrec,counts]", "train.objective.name=answer")
    world.llara("train", world.config("answers-beside"), *(part for setting in chosen for part in ("--set", setting)))
    store(["tiny", str(run), "--output", str(out)])
    before = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]
    main(["tiny", str(run), str(run), "--output", str(out)])
    after = json.loads(out.read_text(encoding="utf-8"))["tiny"]["models"]
    assert [name for name in after if name not in before] == ["hybrid LLaRA (answer) + sasrec"]
    assert after["hybrid LLaRA (answer) + sasrec"]["versus_sasrec"]["baseline"] == "sasrec"
