"""Backbone, projector, injection, scoring and the saved model."""

from llara.model.adapt import AdaptConfig, adapt_backbone
from llara.model.backbone import BackboneConfig, LoraSettings, NanoConfig, load_backbone
from llara.model.catalog_scores import score_catalog
from llara.model.llara import Llara
from llara.model.nano import build_nano
from llara.model.network import Network
from llara.model.ordering import in_order, shown_columns
from llara.model.outputs import LlaraOutput, ScoredItems
from llara.model.passes import autocast
from llara.model.projector import Projector, inject
from llara.model.retrieval import Recommendation, recommend, retrieve
from llara.model.scoring import chosen_columns, generate_answers, score_candidates
from llara.model.sequence import SequenceHead, scores_after_items
from llara.model.settings import LlaraConfig, ScorerName, SequenceConfig
from llara.model.text_vectors import text_vectors

__all__ = [
    "AdaptConfig",
    "BackboneConfig",
    "Llara",
    "LlaraConfig",
    "LlaraOutput",
    "LoraSettings",
    "NanoConfig",
    "Network",
    "Projector",
    "Recommendation",
    "ScoredItems",
    "ScorerName",
    "SequenceConfig",
    "SequenceHead",
    "adapt_backbone",
    "autocast",
    "build_nano",
    "chosen_columns",
    "generate_answers",
    "in_order",
    "inject",
    "load_backbone",
    "recommend",
    "retrieve",
    "score_candidates",
    "score_catalog",
    "scores_after_items",
    "shown_columns",
    "text_vectors",
]
