"""Weighing the head against the recommender's prior."""

from dataclasses import dataclass

from llara.evaluate import calibrate_prior
from llara.model import Llara, ScorerName
from llara.run.choices import uses_prior, ways_with_prior
from llara.run.events import stage
from llara.run.folder import CALIBRATION_FILE
from llara.run.material import Material
from llara.run.stages.scoring import num_rankings
from llara.run.stages.stage import Place, Probed, StagePlan


@dataclass(frozen=True)
class CalibrateStage:
    """Fits the weights of head and prior on the validation rows, in place.

    Leaves `calibration.json` for the report: of the scorer that the run reports first, or else of the first that has a
    prior. The weights themselves are part of the model. An interrupted run does it again.
    """

    material: Material
    llara: Llara
    training: tuple[StagePlan, ...] = ()
    """For a plan: what is expected of the training's stages, which rank the same rows."""
    name: str = "calibration"

    @property
    def needed(self) -> bool:
        """Where there is a prior."""
        return uses_prior(self.material.config)

    def run(self, place: Place) -> Llara:
        """The same model."""
        ways = ways_with_prior(self.material.config)
        reported = self.llara.default_scorer if self.llara.default_scorer in ways else next(iter(ways), None)
        for way in ways:
            self._calibrate(way, place, keep=way == reported)
        return self.llara

    def _calibrate(self, way: ScorerName, place: Place, *, keep: bool) -> None:
        with stage(place.listener, "calibrating on validation rows", 1) as advance:
            batch_size = self.material.config.evaluate.batch_size
            weights = calibrate_prior(self.llara, self.material.validation, batch_size=batch_size, way=way)
            if place.writes and keep:
                weights.save(place.folder / CALIBRATION_FILE)
            advance.outcome = (
                f"{way} head {weights.head:.2f}, recommender {weights.prior:.2f} "
                f"(nats per target {weights.loss_before:.4f} -> {weights.loss_after:.4f})"
            )

    def probe(self, seconds: float) -> Probed[Llara]:
        """Nothing is measured: each scorer takes as long as one of the training's validations by it."""
        known = {stage.scorer: stage.row_seconds for stage in self.training if stage.row_seconds is not None}
        if not self.needed or not known:
            return Probed(self.llara, None)
        slowest = max(known.values())
        each = [known.get(way, slowest) for way in ways_with_prior(self.material.config)]
        expected = sum(each) * num_rankings(self.material.validation)
        uncertainty = max(stage.uncertainty for stage in self.training)
        return Probed(
            self.llara, StagePlan(self.name, "the validation rows once more", expected, uncertainty=uncertainty)
        )
