"""A model before its first training step: recommender, backbone and practice, for several runs that begin alike."""

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

    Where there are threads for both, the recommenders are fitted in a process of their own while the backbone
    practises: practice reads the catalog alone, so that the model is the same as made one after the other.

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
    if not can_split():
        seconds = fit_recommenders((material, folder), listener)
        llara = _practised(material, place, watch)
    else:
        with elsewhere(fit_recommenders, (material, folder), what="the recommenders") as fitted:
            llara = _practised(material, place, watch)
            seconds = fitted()
    llara.exchange_recommender(load_recommender(folder / RECOMMENDER_FOLDER))
    llara.save_pretrained(folder)
    return {**seconds, **watch.seconds}


def fit_recommenders(work: tuple[Material, Path], listener: Listener) -> dict[str, float]:
    """Fit the recommender and those of the folds into a folder; returns the seconds of each stage."""
    material, folder = work
    watch, place = Stopwatch(), Place(folder, listener=listener)
    recommender = watch.run(RecommenderStage(material), place)
    watch.run(FoldsStage(material, recommender), place)
    return watch.seconds


def _practised(material: Material, place: Place, watch: Stopwatch) -> Llara:
    """A model that has read the catalog, around a recommender that has learned nothing yet."""
    llara = watch.run(AdaptStage(material, build_untrained(material)), place)
    return watch.run(PracticeStage(material, llara), place)
