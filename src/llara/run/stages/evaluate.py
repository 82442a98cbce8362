"""Judging every model on the same frozen candidates."""

from dataclasses import dataclass, replace

from llara.leakage import LeakageFinding
from llara.model import Llara
from llara.run.evaluation import Evaluated, evaluate_run, trained_scorers
from llara.run.material import Material
from llara.run.reporting import save_evaluation
from llara.run.stages.scoring import expect_generating, expect_scoring
from llara.run.stages.stage import Place, Probed, StagePlan


@dataclass(frozen=True)
class EvaluateStage:
    """Ranks the test rows by popularity, the recommender, and LLaRA in every way that was trained.

    Leaves the model itself, `evaluation.json`, `predictions/`, `candidates/`, `figures/` and `report.html`. An
    interrupted run does it again.
    """

    material: Material
    llara: Llara
    leakage: tuple[LeakageFinding, ...] = ()
    training: tuple[StagePlan, ...] = ()
    """For a plan: what is expected of the training's stages, which rank rows as well."""
    name: str = "evaluation"
    needed: bool = True

    def run(self, place: Place) -> Evaluated:
        """What was found."""
        material = self.material
        evaluated = evaluate_run(
            self.llara, material.split, material.test, config=material.config, leakage=self.leakage,
            listener=place.listener,
        )  # fmt: skip
        if place.writes:
            self.llara.save_pretrained(place.folder)
            save_evaluation(
                place.folder, evaluated, config=material.config, dataset=material.dataset, split=material.split
            )
        return evaluated

    def probe(self, seconds: float) -> Probed[None]:
        """Some rows by each scorer, and a batch of generated answers."""
        config, test = self.material.config, self.material.test
        scorers = trained_scorers(self.llara, config)
        generated = config.evaluate.generation_draws if "answer" in config.train.trains else 0
        share = seconds / (len(scorers) + (1 if generated else 0))
        known = {stage.scorer: stage.row_seconds for stage in self.training}
        parts = [
            expect_scoring(self.material, self.llara, test, scorer, seconds=share, known=known.get(scorer))
            for scorer in scorers
        ]
        if generated:
            one = expect_generating(self.material, self.llara, test, seconds=share)
            parts.append(replace(one, seconds=one.seconds * generated))
        amount = f"{len(test.examples):,} rows, {len(test.draws)} draws, by {', '.join(scorers)}"
        amount += f", {generated} generated" if generated else ""
        expected, uncertainty = sum(part.seconds for part in parts), max(part.uncertainty for part in parts)
        return Probed(None, StagePlan(self.name, amount, expected, uncertainty=uncertainty))
