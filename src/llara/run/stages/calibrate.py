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

    Leaves `calibration.json`, of the scorer that the run reports first, for the report; the weights themselves are part
    of the model. An interrupted run does it again.
    """

    material: Material
    llara: Llara
    training: StagePlan | None = None
    """For a plan: what is expected of the training, which ranks the same rows."""
    name: str = "calibration"

    @property
    def needed(self) -> bool:
        """Where there is a prior."""
        return uses_prior(self.material.config)

    def run(self, place: Place) -> Llara:
        """The same model."""
        if self.needed:
            for way in ways_with_prior(self.material.config):
                self._calibrate(way, place)
        return self.llara

    def _calibrate(self, way: ScorerName, place: Place) -> None:
        with stage(place.listener, "calibrating on validation rows", 1) as advance:
            batch_size = self.material.config.evaluate.batch_size
            weights = calibrate_prior(self.llara, self.material.validation, batch_size=batch_size, way=way)
            if place.writes and way == self.llara.default_scorer:
                weights.save(place.folder / CALIBRATION_FILE)
            advance.outcome = (
                f"{way} head {weights.head:.2f}, recommender {weights.prior:.2f} "
                f"(nats per target {weights.loss_before:.4f} -> {weights.loss_after:.4f})"
            )

    def probe(self, seconds: float) -> Probed[Llara]:
        """Nothing is measured: it takes as long as one of the training's validations."""
        if not self.needed or self.training is None or self.training.row_seconds is None:
            return Probed(self.llara, None)
        expected = self.training.row_seconds * num_rankings(self.material.validation)
        uncertainty = self.training.uncertainty
        return Probed(
            self.llara, StagePlan(self.name, "the validation rows once more", expected, uncertainty=uncertainty)
        )
