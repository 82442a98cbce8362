"""A backbone to start from: loaded or built, adapted to the catalog if asked, ready to be trained."""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llara.data import Catalog
from llara.model.adapt import adapt_backbone, catalog_lines
from llara.model.backbone import (
    NANO,
    BackboneConfig,
    load_backbone,
    prepare_backbone,
    storage_dtype,
)
from llara.model.nano import build_nano
from llara.model.settings import LlaraConfig
from llara.prompt import PromptEncoder
from llara.recommender import best_device


def start_backbone(
    config: LlaraConfig, catalog: Catalog, on_adapt_step: Callable[[int, float], None] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load or build the backbone, adapt it to the catalog if asked, then attach the adapter; all seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        settings = config.backbone
        if settings.path != NANO and settings.adapt.steps == 0:
            return load_backbone(settings, dtype=storage_dtype(settings))
        model, tokenizer = _plain_backbone(config, catalog)
        if settings.adapt.steps > 0:
            model.to(best_device())  # type: ignore[arg-type]  # its wrapper hides the signature
            adapt_backbone(
                model, PromptEncoder(tokenizer, catalog, config.prompt), catalog,
                config=settings.adapt, seed=config.seed, precision=settings.precision, on_step=on_adapt_step,
            )  # fmt: skip
        return prepare_backbone(model, settings), tokenizer


def _plain_backbone(config: LlaraConfig, catalog: Catalog) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A backbone in float32 without adapter: a new nano, or a loaded one."""
    if config.backbone.path != NANO:
        return load_backbone(BackboneConfig(path=config.backbone.path, tuning="full"))
    templates = config.prompt.build_templates(catalog.noun)
    texts = [
        *catalog_lines(catalog, config.backbone.adapt.columns),
        *(f" {text}" for text in catalog.texts(config.prompt.item_text)[1:]),
        *(template.text for template in templates),
    ]
    return build_nano(texts, config.backbone.nano, seed=config.seed)
