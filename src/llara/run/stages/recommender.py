"""Fitting the conventional recommender."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llara.data import Examples, item_order
from llara.recommender import (
    EpochRecord,
    FitReport,
    Recommender,
    build_recommender,
    fit_recommender,
    load_recommender,
    rank_validation,
    save_recommender,
)
from llara.recommender.text_encoder import encode_texts, encoded_width
from llara.run.events import Advance, Listener, ignore, stage
from llara.run.material import Material, text_of_encoder
from llara.run.stages.probing import GUESSED, Expected, expect
from llara.run.stages.stage import Place, Probed, StagePlan

RECOMMENDER_FOLDER = "recommender"
_UNIT = 5000
"""Interactions that a probe begins with."""
_FEW_ROWS = 16
_TEXTS = 64


@dataclass(frozen=True)
class RecommenderStage:
    """Fits the recommender on the training users.

    Leaves `recommender/`. Resumes by loading it; a fit that was interrupted starts again.

    Attributes:
        material: Settings and data.
        made: A folder in which this stage has run before for the same settings; None: there is none.
    """

    material: Material
    made: Path | None = None
    name: str = "recommender"
    needed: bool = True

    def run(self, place: Place) -> Recommender:
        """The fitted recommender."""
        folder = place.folder / RECOMMENDER_FOLDER
        if place.resume and (folder / "recommender.json").is_file():
            return load_recommender(folder)
        if self.made is not None:
            return self._taken(self.made / RECOMMENDER_FOLDER, folder if place.writes else None)
        recommender = build_untrained(self.material, place.listener)
        with fit_events(place.listener, type(recommender).__name__, recommender, self.material) as events:
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

    def _taken(self, made: Path, folder: Path | None) -> Recommender:
        """The recommender that was made before, saved here as well."""
        recommender = load_recommender(made)
        if folder is not None:
            save_recommender(recommender, folder)
        return recommender

    def probe(self, seconds: float) -> Probed[Recommender]:
        """Epochs on growing parts of the users, and one ranking of the validation rows; texts are read in part."""
        reading, texts = self._probe_texts(seconds / 4)
        recommender = build_untrained(self.material, texts=texts)
        parts = recommender.fitted_parts()
        if not parts and reading == 0:
            return Probed(recommender, None)
        rows = self.material.stopping_rows()
        found = [self._probe_fit(part, rows, seconds / len(parts)) for part in parts]
        config = self.material.config.recommender
        amount = f"{config.fit.epochs} epochs of {' and '.join(part.name for part in parts) or config.name}"
        plan = StagePlan(
            self.name,
            amount,
            reading + sum(epoch.seconds for epoch in found) * config.fit.epochs,
            is_limit=True,
            uncertainty=max((epoch.uncertainty for epoch in found), default=GUESSED),
        )
        return Probed(recommender, plan)

    def _probe_texts(self, seconds: float) -> tuple[float, Tensor | None]:
        """Seconds that reading all items' texts takes, and something in place of their vectors; 0 and None: no text."""
        material = self.material
        if not material.reads_text:
            return 0.0, None
        encoder = material.config.recommender.text.encoder
        assert encoder is not None  # refused where settings are read
        texts = material.dataset.catalog.texts(text_of_encoder(material.config))[1:]

        def read(units: int) -> float:
            started = time.perf_counter()
            encode_texts(encoder, texts[:: max(1, len(texts) // (units * _TEXTS))])
            return time.perf_counter() - started

        found = expect(read, full=max(1, len(texts) // _TEXTS), seconds=seconds)
        generator = torch.Generator().manual_seed(0)
        return found.seconds, torch.randn(len(texts) + 1, encoded_width(encoder), generator=generator)

    def _probe_fit(self, recommender: Recommender, rows: Examples, seconds: float) -> Expected:
        """An epoch and the validation after it."""
        config, sequences = self.material.config.recommender, self.material.split.train_sequences
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
        return replace(found, seconds=found.seconds + validation)


def build_untrained(material: Material, listener: Listener = ignore, *, texts: Tensor | None = None) -> Recommender:
    """The configured recommender over a data set's items, not yet fitted.

    Args:
        material: Settings and data.
        listener: Told of progress where the items' texts are read, which happens once.
        texts: In place of the vectors that an encoder would make of them.
    """
    catalog, config = material.dataset.catalog, material.config
    return build_recommender(
        config.recommender,
        num_items=catalog.num_items,
        row_of_item_index=item_order(catalog.num_items, seed=config.data.seed),
        item_ids=catalog.item_ids,
        texts=material.text_vectors(listener) if texts is None else texts,
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
def fit_events(listener: Listener, name: str, recommender: Recommender, material: Material) -> Iterator[FitEvents]:
    """Report a block that fits a recommender as a stage of one unit per epoch of each part that is fitted."""
    epochs = material.config.recommender.fit.epochs * max(1, len(recommender.fitted_parts()))
    with stage(listener, name, epochs) as advance:
        yield FitEvents(advance)
