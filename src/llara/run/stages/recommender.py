"""Fitting the conventional recommender."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from llara.data import item_order
from llara.recommender import (
    EpochRecord,
    FitReport,
    Recommender,
    SequentialRecommender,
    build_recommender,
    fit_recommender,
    load_recommender,
    rank_validation,
    save_recommender,
)
from llara.run.events import Advance, Listener, stage
from llara.run.material import Material
from llara.run.stages.probing import expect
from llara.run.stages.stage import Place, Probed, StagePlan

RECOMMENDER_FOLDER = "recommender"
_UNIT = 5000
"""Interactions that a probe begins with."""
_FEW_ROWS = 16


@dataclass(frozen=True)
class RecommenderStage:
    """Fits the recommender on the training users.

    Leaves `recommender/`. Resumes by loading it; a fit that was interrupted starts again.
    """

    material: Material
    name: str = "recommender"
    needed: bool = True

    def run(self, place: Place) -> Recommender:
        """The fitted recommender."""
        folder = place.folder / RECOMMENDER_FOLDER
        if place.resume and (folder / "recommender.json").is_file():
            return load_recommender(folder)
        recommender = build_untrained(self.material)
        with fit_events(place.listener, type(recommender).__name__, self.material) as events:
            report = fit_recommender(
                recommender,
                self.material.split.train_sequences,
                validation=self.material.stopping_rows(),
                config=self.material.config.recommender.fit,
                on_epoch=events.on_epoch,
            )
            events.ended(report)
        if place.writes:
            save_recommender(recommender, folder)
        return recommender

    def probe(self, seconds: float) -> Probed[Recommender]:
        """Epochs on growing parts of the users, and one ranking of the validation rows."""
        recommender = build_untrained(self.material)
        config, sequences = self.material.config.recommender, self.material.split.train_sequences
        if not isinstance(recommender, SequentialRecommender):
            return Probed(recommender, None)
        rows = self.material.stopping_rows()
        started = time.perf_counter()
        rank_validation(recommender, rows)
        validation = time.perf_counter() - started
        few, full = rows.select(np.arange(min(len(rows), _FEW_ROWS))), max(1, len(sequences.items) // _UNIT)

        def epoch(units: int) -> float:
            users = int(np.searchsorted(sequences.offsets, units * _UNIT, side="right")) - 1
            some = sequences.select(np.arange(max(2, min(users, len(sequences)))))
            moments: list[float] = []
            fit_recommender(
                recommender,
                some,
                validation=few,
                config=replace(config.fit, epochs=2),
                on_epoch=lambda record: moments.append(record.seconds),
            )
            return (moments[-1] - moments[0]) * min(units * _UNIT, len(sequences.items)) / max(1, len(some.items))

        # Both epochs of a probe cost, and the second is measured.
        found = expect(epoch, full=full, seconds=seconds / 2)
        expected = (found.seconds + validation) * config.fit.epochs
        amount = f"{config.fit.epochs} epochs of {config.name}"
        plan = StagePlan(self.name, amount, expected, is_limit=True, uncertainty=found.uncertainty)
        return Probed(recommender, plan)


def build_untrained(material: Material) -> Recommender:
    """The configured recommender over a data set's items, not yet fitted."""
    catalog, config = material.dataset.catalog, material.config
    return build_recommender(
        config.recommender,
        num_items=catalog.num_items,
        row_of_item_index=item_order(catalog.num_items, seed=config.data.seed),
        item_ids=catalog.item_ids,
    )


class FitEvents:
    """Says how fitting a recommender goes on and what came of it."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        self._advance(1, f"loss {record.loss:.3f} validation NDCG@10 {record.validation_ndcg:.4f}")

    def ended(self, report: FitReport) -> None:
        """The fit has ended."""
        measured = f"validation NDCG@10 in the catalog {report.best_validation:.4f}"
        self._advance.outcome = f"best {measured} after epoch {report.best_epoch}" if report.epochs_run else measured


@contextmanager
def fit_events(listener: Listener, name: str, material: Material) -> Iterator[FitEvents]:
    """Report a block that fits a recommender as a stage of one unit per epoch."""
    with stage(listener, name, material.config.recommender.fit.epochs) as advance:
        yield FitEvents(advance)
