"""Conventional sequential recommenders, their fitting, and item vectors from elsewhere."""

from llara.recommender.base import Recommender, SequentialRecommender
from llara.recommender.caser import Caser, CaserConfig
from llara.recommender.counts import Counts, CountsConfig
from llara.recommender.device import best_device
from llara.recommender.drawn import losses_among_drawn
from llara.recommender.ease import Ease, EaseConfig
from llara.recommender.fit import EpochRecord, FitConfig, FitReport, fit_recommender, rank_in_catalog, rank_validation
from llara.recommender.folds import FoldRecommenders, fit_without_fold, fold_of_users
from llara.recommender.fusion import FREQUENCY_EDGES, Fusion, FusionConfig
from llara.recommender.gru4rec import GRU4Rec, GRU4RecConfig
from llara.recommender.imported import ImportedEmbeddings
from llara.recommender.item_knn import ItemKNN, ItemKNNConfig
from llara.recommender.known import RECOMMENDERS
from llara.recommender.popularity import Popularity
from llara.recommender.registry import (
    CatalogItems,
    RecommenderConfig,
    build_recommender,
    register_recommender,
)
from llara.recommender.sasrec import SASRec, SASRecConfig
from llara.recommender.scorer import CatalogScorer, Progress, RecommenderScorer, Scorer
from llara.recommender.store import load_recommender, save_recommender
from llara.recommender.text import TextConfig, TextSASRec, TextSimilarity
from llara.recommender.vector_files import ImportedConfig, import_embeddings

__all__ = [
    "FREQUENCY_EDGES",
    "RECOMMENDERS",
    "Caser",
    "CaserConfig",
    "CatalogItems",
    "CatalogScorer",
    "Counts",
    "CountsConfig",
    "Ease",
    "EaseConfig",
    "EpochRecord",
    "FitConfig",
    "FitReport",
    "FoldRecommenders",
    "Fusion",
    "FusionConfig",
    "GRU4Rec",
    "GRU4RecConfig",
    "ImportedConfig",
    "ImportedEmbeddings",
    "ItemKNN",
    "ItemKNNConfig",
    "Popularity",
    "Progress",
    "Recommender",
    "RecommenderConfig",
    "RecommenderScorer",
    "SASRec",
    "SASRecConfig",
    "Scorer",
    "SequentialRecommender",
    "TextConfig",
    "TextSASRec",
    "TextSimilarity",
    "best_device",
    "build_recommender",
    "fit_recommender",
    "fit_without_fold",
    "fold_of_users",
    "import_embeddings",
    "load_recommender",
    "losses_among_drawn",
    "rank_in_catalog",
    "rank_validation",
    "register_recommender",
    "save_recommender",
]
