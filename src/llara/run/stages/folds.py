"""Recommenders whose judgment of training rows is not their memory."""

from dataclasses import dataclass
from pathlib import Path

from llara.recommender import (
    FoldRecommenders,
    Recommender,
    fit_without_fold,
    fold_of_users,
    load_recommender,
    save_recommender,
)
from llara.run.choices import uses_prior
from llara.run.material import Material
from llara.run.stages.recommender import build_untrained, fit_events
from llara.run.stages.stage import Place, Probed, StagePlan

FOLDS_FOLDER = "folds"


@dataclass(frozen=True)
class FoldsStage:
    """Fits a recommender without each fold of the training users, for the prior of the rows of that fold.

    Leaves `folds/N/` until the run is complete. Resumes after the last fold that was fitted.

    Attributes:
        material: Settings and data.
        recommender: The one that was fitted on all users.
        made: A folder in which this stage has run before for the same settings; None: there is none.
        only: Numbers of the folds to fit, where several processes share them out; None: all.
        whole_fit: What fitting `recommender` is planned to take; only a probe reads it.
    """

    material: Material
    recommender: Recommender
    made: Path | None = None
    only: tuple[int, ...] | None = None
    whole_fit: StagePlan | None = None
    name: str = "prior folds"

    @property
    def needed(self) -> bool:
        """Only where there is a prior that has learned something."""
        config = self.material.config
        return uses_prior(config) and config.prior_folds > 1 and self.recommender.learns

    def run(self, place: Place) -> FoldRecommenders | None:
        """One recommender per fold, those of `only` alone where that is given; None where no such judgment is used."""
        if not self.needed:
            return None
        config, users = self.material.config, self.material.split.train_sequences.user_index
        fold_of_user = fold_of_users(users, folds=config.prior_folds, seed=config.recommender.fit.seed)
        folds = range(config.prior_folds) if self.only is None else self.only
        recommenders = [self._fitted(place, fold, fold_of_user) for fold in folds]
        home = self.recommender.device
        return FoldRecommenders([recommender.to(home) for recommender in recommenders], fold_of_user)

    def _fitted(self, place: Place, fold: int, fold_of_user: dict[int, int]) -> Recommender:
        """The recommender of a fold: found, or fitted and left for later attempts."""
        found = self._found(place, fold)
        if found is not None:
            return load_recommender(found)
        config = self.material.config
        name = f"{type(self.recommender).__name__} without fold {fold + 1} of {config.prior_folds}"
        untrained = build_untrained(self.material, place.listener)
        with fit_events(place.listener, name, untrained, self.material) as events:
            fitted, report = fit_without_fold(
                untrained, self.material.split.train_sequences, fold=fold,
                fold_of_user=fold_of_user, validation=self.material.stopping_rows(), config=config.recommender.fit,
                on_epoch=events.on_epoch,
            )  # fmt: skip
            events.ended(report)
        if place.writes:
            save_recommender(fitted, place.folder / FOLDS_FOLDER / str(fold))
        return fitted

    def _found(self, place: Place, fold: int) -> Path | None:
        """Where a fold's recommender is already, if it is."""
        places = [place.folder if place.resume else None, self.made]
        folders = [folder / FOLDS_FOLDER / str(fold) for folder in places if folder is not None]
        return next((folder for folder in folders if (folder / "recommender.json").is_file()), None)

    def probe(self, seconds: float) -> Probed[FoldRecommenders | None]:
        """Nothing is measured: each fold takes as long as the recommender on the share of users that it leaves."""
        folds = self.material.config.prior_folds
        if not self.needed or self.whole_fit is None:
            return Probed(None, None)
        whole = self.whole_fit
        expected = whole.seconds * (folds - 1)
        plan = StagePlan(self.name, f"{folds} recommenders", expected, is_limit=True, uncertainty=whole.uncertainty)
        return Probed(None, plan)
