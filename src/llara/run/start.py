"""A model before its first training step: recommender, backbone and practice, for several runs that begin alike."""

from dataclasses import dataclass
from pathlib import Path

from llara.model import Llara
from llara.recommender import load_recommender
from llara.run.config import RunConfig
from llara.run.elsewhere import can_split, elsewhere
from llara.run.events import Listener, ignore
from llara.run.leaks import find_leaks
from llara.run.material import Material, read_material
from llara.run.stages import AdaptStage, FoldsStage, Place, PracticeStage, RecommenderStage
from llara.run.stages.recommender import RECOMMENDER_FOLDER, build_untrained
from llara.run.stopwatch import Stopwatch


def make_start(config: RunConfig, folder: Path, *, listener: Listener = ignore) -> dict[str, float]:
    """Recommender, those of the folds, backbone and practice of a run, saved for runs that differ in training only.

    Where there are threads for both, recommenders are fitted in a process of their own while the backbone practises, or
    while others are fitted here: practice reads the catalog alone, so that the model is the same as made one after the
    other.

    Args:
        config: Its curriculum and evaluation do not matter here.
        folder: Where to; it must be empty or not be there.
        listener: Told of progress.

    Returns:
        Seconds of each stage.

    Raises:
        LlaraError: If the data leaks in a way that is not allowed, or the other process dies.
    """
    material = read_material(config)
    find_leaks(material)
    watch = Stopwatch()
    place = Place(folder, listener=listener)
    shares = _shares(config)
    if not can_split():
        seconds = fit_recommenders((material, folder, shares.there + shares.here), listener)
        llara = _practised(material, place, watch)
    else:
        with elsewhere(fit_recommenders, (material, folder, shares.there), what="the recommenders") as fitted:
            llara = _practised(material, place, watch)
            if shares.here:
                watch.run(FoldsStage(material, llara.recommender, only=shares.here), place)
            seconds = fitted()
    llara.exchange_recommender(load_recommender(folder / RECOMMENDER_FOLDER))
    llara.save_pretrained(folder)
    return _longer(seconds, watch.seconds)


@dataclass(frozen=True)
class _Shares:
    """Folds that the other process fits, after the recommender, and those that are fitted here."""

    there: tuple[int, ...]
    here: tuple[int, ...]


def _shares(config: RunConfig) -> _Shares:
    """Practice takes longer than all fits; without it, each process fits about as many recommenders."""
    folds = tuple(range(config.prior_folds))
    there = len(folds) if config.practice.steps else max(0, len(folds) - 1) // 2
    return _Shares(folds[:there], folds[there:])


def _longer(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage; of what both processes did at the same time, the longer part."""
    return {**one, **{name: max(seconds, one.get(name, 0.0)) for name, seconds in other.items()}}


def fit_recommenders(work: tuple[Material, Path, tuple[int, ...]], listener: Listener) -> dict[str, float]:
    """Fit the recommender and those of some folds into a folder; returns the seconds of each stage."""
    material, folder, folds = work
    watch, place = Stopwatch(), Place(folder, listener=listener)
    recommender = watch.run(RecommenderStage(material), place)
    if folds:
        watch.run(FoldsStage(material, recommender, only=folds), place)
    return watch.seconds


def _practised(material: Material, place: Place, watch: Stopwatch) -> Llara:
    """A model that has read the catalog, around a recommender that has learned nothing yet."""
    llara = watch.run(AdaptStage(material, build_untrained(material)), place)
    return watch.run(PracticeStage(material, llara), place)
