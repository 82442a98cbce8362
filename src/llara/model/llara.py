"""`Llara`: a network with its catalog, asked by item ids; made from a backbone, or opened from a folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from transformers import PreTrainedModel

from llara.data import Catalog
from llara.errors import DataError, PromptError
from llara.model.arguments import as_trained
from llara.model.backbone import (
    BackboneConfig,
)
from llara.model.catalog_scores import FloatArray
from llara.model.network import Network
from llara.model.retrieval import Recommendation, recommend
from llara.model.scoring import score_candidates
from llara.model.settings import LlaraConfig, ScorerName
from llara.model.starting import start_backbone
from llara.model.store import load_own, read_llara, save_llara
from llara.model.text_vectors import text_vectors
from llara.prompt import PromptEncoder
from llara.recommender import Recommender, best_device

_USUAL_HISTORY = 10


class Llara(Network):
    """Backbone, projector, placeholder and listwise head around a frozen recommender.

    Use `from_backbone` to start and `from_pretrained` to open a saved one.

    Args:
        model: Causal LM, with or without adapter, prepared by `prepare_backbone`.
        encoder: Prompt encoder over the backbone's tokenizer and the catalog.
        catalog: The items.
        recommender: Fitted recommender; its item table feeds the projector and never changes.
        config: As used to build `model` and `encoder`.
        uses_behavior: Whether it was trained on hybrid prompts, and so is asked with them; text-only models are not.
        default_scorer: How candidates are scored unless asked otherwise: by what was trained.
        history_length: Longest history that it was trained on; None: not trained yet, or saved before this was kept.
        texts: With `config.sequence.head`: a vector of each item's text, see `llara.model.text_vectors`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        encoder: PromptEncoder,
        catalog: Catalog,
        recommender: Recommender,
        config: LlaraConfig,
        uses_behavior: bool = True,
        default_scorer: ScorerName = "answer",
        history_length: int | None = None,
        texts: torch.Tensor | None = None,
    ) -> None:
        super().__init__(model, encoder=encoder, recommender=recommender, config=config, texts=texts)
        self.catalog = catalog
        self.uses_behavior = uses_behavior
        self.default_scorer: ScorerName = default_scorer
        self.history_length = history_length

    @classmethod
    def from_backbone(
        cls,
        backbone: str | BackboneConfig,
        recommender: Recommender,
        catalog: Catalog,
        *,
        config: LlaraConfig | None = None,
        on_adapt_step: Callable[[int, float], None] | None = None,
        texts: torch.Tensor | None = None,
    ) -> Self:
        """Start from a language model and a fitted recommender, on the GPU if there is one.

        Args:
            backbone: `nano`, a folder, a hub name, or a full `BackboneConfig`.
            recommender: Fitted SASRec, GRU4Rec, Caser or imported embeddings over the same catalog.
            catalog: The items, as in the dataset.
            config: Prompt, adaptation and seed; its `backbone` is replaced by the argument.
            on_adapt_step: Called with each step of `backbone.adapt` and its loss.
            texts: For a sequence head: a vector of each item's text, row 0 padding, of any width, such as a text
                encoder's; None: read by the backbone.

        Raises:
            CheckpointError: If the backbone is missing or incomplete.
            PromptError: If recommender and catalog disagree on the number of items.
        """
        chosen = BackboneConfig(path=backbone) if isinstance(backbone, str) else backbone
        settings = replace(config or LlaraConfig(), backbone=chosen)
        if recommender.num_items != catalog.num_items:
            raise PromptError(
                f"recommender '{recommender.name}' knows {recommender.num_items} items, the catalog has "
                f"{catalog.num_items}. Fit it on this dataset."
            )
        model, tokenizer = start_backbone(settings, catalog, on_adapt_step)
        encoder = PromptEncoder(tokenizer, catalog, settings.prompt)
        if not settings.sequence.head:
            texts = None
        elif texts is None:
            texts = text_vectors(model, encoder, precision=chosen.precision)
        llara = cls(model, encoder=encoder, catalog=catalog, recommender=recommender, config=settings, texts=texts)
        llara.verdict.require("training")
        return llara.to(best_device())

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, device: torch.device | str | None = None) -> Self:
        """Open a run folder, or one written by `save_pretrained`, on a device; None: the GPU if there is one.

        Raises:
            CheckpointError: If a part is missing, damaged, or does not fit the others.
        """
        saved = read_llara(Path(folder))
        llara = cls(
            saved.model,
            encoder=saved.encoder,
            catalog=saved.catalog,
            recommender=saved.recommender,
            config=saved.config,
            uses_behavior=saved.uses_behavior,
            default_scorer=saved.default_scorer,
            history_length=saved.history_length,
            texts=saved.texts,
        )
        load_own(llara, saved.tensors, Path(folder))
        llara.take_choices(saved.choices)
        llara.silent.update(saved.silent)
        return llara.to(device or best_device()).eval()

    def save_pretrained(self, folder: Path | str) -> None:
        """Write everything that `from_pretrained` needs: safetensors, JSON and Parquet only."""
        save_llara(
            self,
            Path(folder),
            catalog=self.catalog,
            uses_behavior=self.uses_behavior,
            default_scorer=self.default_scorer,
            history_length=self.history_length,
        )

    def score(
        self,
        histories: Sequence[Sequence[int | str]],
        candidates: Sequence[Sequence[int | str]],
        *,
        scorer: ScorerName | None = None,
    ) -> FloatArray:
        """Score candidate items for each history.

        Args:
            histories: Item ids, oldest first, one list per row, none empty. Of one longer than the model was trained on
                the latest items are read, and a warning is logged.
            candidates: Item ids to score, the same number in each row, [B, C].
            scorer: See `ScorerName`; None: what the model was trained for.

        Returns:
            Scores [B, C], higher is better.

        Raises:
            ConfigError: If there is no such scorer.
            DataError: If an item id is unknown, or the rows are not as described.
        """
        rows = as_trained([self._indices(history) for history in histories], self.history_length)
        shown = [self._indices(items) for items in candidates]
        chosen = self.default_scorer if scorer is None else scorer
        return score_candidates(self, rows, shown, scorer=chosen, hybrid=self.uses_behavior)

    def recommend(
        self, history: Sequence[int | str], *, k: int = 10, num_retrieved: int = 50, history_length: int | None = None
    ) -> list[Recommendation]:
        """Top of the catalog for an unseen history: the recommender retrieves, LLaRA ranks, seen items are left out.

        Args:
            history: Item ids, oldest first; at least one.
            k: Length of the list.
            num_retrieved: How many items the recommender proposes, >= k.
            history_length: How many of the latest history items the models read; None: as many as in training, or 10
                where that is not known.

        Raises:
            DataError: If an item id is unknown or the history is empty.
        """
        if history_length is None:
            history_length = self.history_length or _USUAL_HISTORY
        items = self._indices(history)
        return recommend(
            self, items, catalog=self.catalog, scorer=self.default_scorer, hybrid=self.uses_behavior,
            k=k, num_retrieved=num_retrieved, history_length=history_length,
        )  # fmt: skip

    def _indices(self, items: Sequence[int | str]) -> list[int]:
        if isinstance(items, str):
            raise DataError(f"expected a list of item ids, got the text '{items}'. Split it first.")
        return [self.catalog.index_of(item) for item in items]
