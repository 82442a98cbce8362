"""Weighing the listwise head against the recommender's prior."""

from dataclasses import dataclass

from llara.evaluate import calibrate_prior
from llara.model import Llara
from llara.run.choices import uses_prior
from llara.run.events import stage
from llara.run.material import Material
from llara.run.stages.scoring import expect_scoring
from llara.run.stages.stage import Place, Probed, StagePlan


@dataclass(frozen=True)
class CalibrateStage:
    """Fits the weights of head and prior on the validation rows, in place.

    Leaves nothing of its own: the weights are part of the model. An interrupted run does it again.
    """

    material: Material
    llara: Llara
    name: str = "calibration"

    @property
    def needed(self) -> bool:
        """Where there is a prior."""
        return uses_prior(self.material.config)

    def run(self, place: Place) -> Llara:
        """The same model."""
        if self.needed:
            with stage(place.listener, "calibrating on validation rows", 1) as advance:
                batch_size = self.material.config.evaluate.batch_size
                weights = calibrate_prior(self.llara, self.material.validation, batch_size=batch_size)
                advance.outcome = (
                    f"head {weights.head:.2f}, recommender {weights.prior:.2f} "
                    f"(nats per target {weights.loss_before:.4f} -> {weights.loss_after:.4f})"
                )
        return self.llara

    def probe(self, seconds: float) -> Probed[Llara]:
        """Some validation rows."""
        if not self.needed:
            return Probed(self.llara, None)
        found = expect_scoring(
            self.material, self.llara, self.material.validation, self.llara.default_scorer, seconds=seconds
        )
        plan = StagePlan(self.name, "the validation rows once more", found.seconds, uncertainty=found.uncertainty)
        return Probed(self.llara, plan)
