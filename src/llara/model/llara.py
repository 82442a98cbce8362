"""The model: a backbone that reads titles as text and items as behavioral tokens."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, cast, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llara.data import Catalog
from llara.errors import CheckpointError, DataError, PromptError
from llara.model.adapt import adapt_backbone, catalog_lines
from llara.model.arguments import as_trained
from llara.model.backbone import (
    NANO,
    BackboneConfig,
    causal_lm,
    decoder,
    embedding_norm,
    head_logits,
    input_embeddings,
    load_backbone,
    position_limit,
    prepare_backbone,
    storage_dtype,
)
from llara.model.kernels.allocation import keep_freed_memory
from llara.model.kernels.last_layer import LastFeedForward
from llara.model.kernels.lora import folded_adapters, hold_folded, products_of, use_products
from llara.model.kernels.products import ProductLibrary
from llara.model.loading import refuse_other_names
from llara.model.nano import build_nano
from llara.model.precision import resolve_precision
from llara.model.prefix import Prefix
from llara.model.projector import Projector, inject
from llara.model.reading import final_states
from llara.model.retrieval import Recommendation, recommend
from llara.model.scoring import FloatArray, score_candidates
from llara.model.selftest import self_test
from llara.model.settings import LlaraConfig, ScorerName
from llara.model.store import PROJECTOR_FILE, read_llara, save_llara
from llara.model.turns import turn
from llara.prompt import EncodedPrompt, PromptBatch, PromptEncoder
from llara.recommender import Recommender, best_device

_OWN_WEIGHTS = ("projector.", "placeholder", "head.", "prior_weight", "part_vectors")
_USUAL_HISTORY = 10
LOGITS_AT_ONCE = 2**24
"""Vocabulary logits that are held in memory at a time: more of them leave the processor's cache."""


@dataclass(frozen=True)
class LlaraOutput:
    """What one forward pass yields.

    Attributes:
        answer_log_probs: Log-probability of each answer token of the batch, in nats, [P]; None if not asked.
        listwise: Score of each candidate, -inf where a row has fewer, [B, C]; None if not asked.
    """

    answer_log_probs: Tensor | None
    listwise: Tensor | None


class Llara(nn.Module):
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
    """

    item_table: Tensor

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
    ) -> None:
        super().__init__()
        keep_freed_memory()
        self.verdict = self_test(model, config.backbone)
        self.verdict.require("reading", "batched")
        self.model = model
        self.encoder = encoder
        self.catalog = catalog
        self.config = config
        self.uses_behavior = uses_behavior
        self.default_scorer: ScorerName = default_scorer
        self.history_length = history_length
        self.recommender = recommender.eval().requires_grad_(False)
        self.register_buffer("item_table", recommender.item_embeddings().detach().float().clone(), persistent=False)
        embeddings = input_embeddings(model)
        if encoder.largest_token >= embeddings.num_embeddings:
            raise CheckpointError(
                f"the tokenizer uses token {encoder.largest_token}, the backbone has {embeddings.num_embeddings} "
                "embeddings. Give the tokenizer of this very backbone, or resize its embeddings and save it again."
            )
        width = embeddings.embedding_dim
        norm = embedding_norm(model)
        self.projector = Projector(self.item_table, width, target_norm=norm, seed=config.seed)
        generator = torch.Generator().manual_seed(config.seed)
        direction = torch.randn(width, generator=generator)
        self.placeholder = nn.Parameter(direction / direction.norm() * norm)
        self.head: nn.Linear = nn.utils.skip_init(nn.Linear, width, 1, bias=False)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(1, width, generator=generator) * 0.02)
        self.prior_weight = nn.Parameter(torch.ones(()), requires_grad=config.recommender_prior)
        # A pretrained backbone starts from what it knows; one made here has nothing to lose.
        scale = 0.5 * norm * width**-0.5 if config.part_vectors and config.backbone.path == NANO else 0.0
        vectors = torch.randn(2, width, generator=generator) * scale
        self.part_vectors = nn.Parameter(vectors, requires_grad=config.part_vectors)
        self.last_feed_forward = LastFeedForward(
            decoder(model), width=width, recomputes=config.backbone.gradient_checkpointing
        )

    @classmethod
    def from_backbone(
        cls,
        backbone: str | BackboneConfig,
        recommender: Recommender,
        catalog: Catalog,
        *,
        config: LlaraConfig | None = None,
        on_adapt_step: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Start from a language model and a fitted recommender, on the GPU if there is one.

        Args:
            backbone: `nano`, a folder, a hub name, or a full `BackboneConfig`.
            recommender: Fitted SASRec, GRU4Rec, Caser or imported embeddings over the same catalog.
            catalog: The items, as in the dataset.
            config: Prompt, adaptation and seed; its `backbone` is replaced by the argument.
            on_adapt_step: Called with each step of `backbone.adapt` and its loss.

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
        model, tokenizer = _start_backbone(settings, catalog, on_adapt_step)
        encoder = PromptEncoder(tokenizer, catalog, settings.prompt)
        llara = cls(model, encoder=encoder, catalog=catalog, recommender=recommender, config=settings)
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
        )
        llara._load_own(saved.tensors, folder)
        llara.take_choices(saved.choices)
        return llara.to(device or best_device()).eval()

    def _load_own(self, tensors: dict[str, Tensor], folder: Path | str) -> None:
        """Take over the weights that are neither backbone nor recommender."""
        own = {name: value for name, value in self.state_dict().items() if name.startswith(_OWN_WEIGHTS)}
        for name, value in own.items():
            expected, found = list(value.shape), list(tensors[name].shape) if name in tensors else "nothing"
            if expected != found:
                raise CheckpointError(
                    f"{folder}: the projector file has {found} for '{name}', backbone and recommender ask for "
                    f"{expected}. They are of different runs; copy the run folder again."
                )
        refuse_other_names(tensors, own, Path(folder) / PROJECTOR_FILE)
        self.load_state_dict({name: tensors[name] for name in own}, strict=False)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write everything that `from_pretrained` needs: safetensors, JSON and Parquet only."""
        save_llara(self, Path(folder))

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
        return recommend(self, items, k=k, num_retrieved=num_retrieved, history_length=history_length)

    def _indices(self, items: Sequence[int | str]) -> list[int]:
        if isinstance(items, str):
            raise DataError(f"expected a list of item ids, got the text '{items}'. Split it first.")
        return [self.catalog.index_of(item) for item in items]

    def exchange_recommender(self, recommender: Recommender) -> None:
        """Take another recommender over the same items, as if the model had been started with it.

        Only before training on hybrid prompts: the projector begins anew, since it belongs to the recommender's items.
        Text-only practice does not depend on the recommender, so that the two can be made at the same time.

        Raises:
            PromptError: If it knows another number of items.
        """
        if recommender.num_items != self.recommender.num_items:
            raise PromptError(
                f"recommender '{recommender.name}' knows {recommender.num_items} items, the model's "
                f"{self.recommender.num_items}. Fit it on this dataset."
            )
        device, width = self.device, input_embeddings(self.model).embedding_dim
        self.recommender = recommender.eval().requires_grad_(False).to(device)
        self.item_table = recommender.item_embeddings().detach().float().clone()
        target_norm = self.projector.target_norm
        table = self.item_table.cpu()
        self.projector = Projector(table, width, target_norm=target_norm, seed=self.config.seed).to(device)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode of everything that learns; the frozen recommender stays in evaluation mode."""
        super().train(mode)
        self.recommender.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.item_table.device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer."""
        return self.encoder.tokenizer

    def folded(self) -> AbstractContextManager[bool]:
        """Within the block, this thread scores and writes with the adapter in the weights, see `folded_adapters`.

        For many rows: folding takes about as long as a few of them. Free where `hold_folded` has done it already.
        """
        dtype = resolve_precision(self.config.backbone.precision, self.device)
        return folded_adapters(self.model, dtype=dtype)

    def hold_folded(self) -> AbstractContextManager[object]:
        """Within the block, `folded` finds its weights made, in whichever thread; the model must not be trained."""
        dtype = resolve_precision(self.config.backbone.precision, self.device)
        return hold_folded(self.model, dtype=dtype)

    @property
    def choices(self) -> dict[str, str]:
        """What a trial on this machine chose and what shows in the last bits of results; saved with the model."""
        products = products_of(self.model)
        return {} if products is None else {"products": products}

    def take_choices(self, choices: Mapping[str, str]) -> None:
        """Choose as recorded in `choices`, whatever a trial would say here."""
        products = choices.get("products")
        if products in get_args(ProductLibrary):
            use_products(self.model, cast(ProductLibrary, products))

    def slot_vectors(self, batch: PromptBatch) -> Tensor:
        """The vector of each slot, [S, D]: projected item embedding in hybrid rows, the placeholder in the others."""
        items, place = torch.unique(batch.slot_items, return_inverse=True)
        behavioral = self.projector(self.item_table[items])[place]  # [S, D]
        is_hybrid = batch.hybrid[batch.slot_rows]
        return torch.where(is_hybrid[:, None], behavioral, self.placeholder)

    def embed(self, batch: PromptBatch) -> Tensor:
        """Input embeddings with filled slots, [B, T, D]."""
        embedded: Tensor = input_embeddings(self.model)(batch.token_ids)
        device = embedded.device.type
        if torch.is_autocast_enabled(device):
            # The residual stream inherits this dtype: half the bytes for every element-wise operation.
            embedded = embedded.to(torch.get_autocast_dtype(device))
        if batch.slot_items.numel() > 0:
            embedded = inject(embedded, batch.slot_rows, batch.slot_positions, self.slot_vectors(batch))
        if not self.config.part_vectors:
            return embedded
        wording = self.part_vectors.new_zeros(1, self.part_vectors.shape[1])
        of_part = torch.cat([wording, self.part_vectors]).to(embedded.dtype)  # [3, D]: wording, history, candidate
        return embedded + of_part[batch.parts]

    def hidden_states(self, batch: PromptBatch, *, prefix: Prefix | None = None) -> Tensor:
        """Final hidden states, [B, T, D]. Values at padding are meaningless."""
        return final_states(self.model, self.embed(batch), batch, prefix=prefix)

    def forward(
        self,
        batch: PromptBatch,
        *,
        answer: bool = True,
        listwise: bool = True,
        prior: Tensor | None = None,
        prefix: Prefix | None = None,
    ) -> LlaraOutput:
        """One pass over a batch; ask only for what is needed.

        Args:
            batch: Prompts, with answers where `answer` is asked.
            answer: Compute the log-probabilities of the answer tokens.
            listwise: Compute the listwise scores.
            prior: With `recommender_prior`: log-probability of each candidate, [B, C], to use in place of the
                recommender's own, which is too sure of rows that it was fitted on.
            prefix: What stands before every row of the batch and was read already; scoring only.
        """
        self.require_positions(int(batch.position_ids.max()) + 1 + (prefix.length if prefix is not None else 0))
        places = _places_read(batch, answer=answer, listwise=listwise)
        B, T = batch.token_ids.shape
        with self.last_feed_forward.only(places, shape=(B, T)), turn(causal_lm(self.model).config):
            hidden = self.hidden_states(batch, prefix=prefix)
        log_probs = self._answer_log_probs(hidden, batch) if answer else None
        scores = self._listwise(hidden, batch, prior) if listwise else None
        return LlaraOutput(answer_log_probs=log_probs, listwise=scores)

    def require_positions(self, count: int) -> None:
        """Raise PromptError if a prompt and its answer take more positions than the backbone has."""
        limit = position_limit(causal_lm(self.model).config)
        if limit is not None and count > limit:
            raise PromptError(
                f"a prompt takes {count} positions, the backbone has {limit}. "
                "Lower data.split.history_length, the number of candidates, or prompt.max_title_tokens."
            )

    def _answer_log_probs(self, hidden: Tensor, batch: PromptBatch) -> Tensor:
        """Log-probability of each answer token, [E]; a position has logits once, however many answers go on there."""
        place = batch.answer_rows * hidden.shape[1] + batch.answer_positions
        reads, place = torch.unique(place, return_inverse=True)
        at_reads = hidden.flatten(0, 1)[reads]  # [reads, D]
        chunks = []
        step = max(1, LOGITS_AT_ONCE // input_embeddings(self.model).num_embeddings)
        for start in range(0, len(reads), step):
            inside = ((place >= start) & (place < start + step)).nonzero().squeeze(1)
            log_probs = head_logits(self.model, at_reads[start : start + step]).log_softmax(dim=-1)
            chunks.append((inside, log_probs[place[inside] - start, batch.answer_tokens[inside]]))
        order = torch.cat([inside for inside, _ in chunks]).argsort()
        return torch.cat([found for _, found in chunks])[order]

    def _listwise(self, hidden: Tensor, batch: PromptBatch, prior: Tensor | None) -> Tensor:
        rows = torch.arange(len(batch), device=hidden.device)[:, None]
        at_candidates = hidden[rows, batch.candidate_positions].float()  # [B, C, D]
        with torch.autocast(hidden.device.type, enabled=False):
            scores: Tensor = self.head(at_candidates).squeeze(-1)
            if self.config.recommender_prior:
                log_probs = self._recommender_log_probs(batch) if prior is None else prior
                usable = batch.candidate_mask & batch.hybrid[:, None]
                scores = scores + self.prior_weight * log_probs.masked_fill(~usable, 0.0)
        return scores.masked_fill(~batch.candidate_mask, float("-inf"))

    @torch.no_grad()
    def _recommender_log_probs(self, batch: PromptBatch) -> Tensor:
        """The recommender's log-probability of each candidate among those shown, -inf at padding, [B, C]."""
        return self.recommender.score(batch.history_items, batch.candidate_items).float().log_softmax(dim=-1)

    def encode_prompt(self, history: Sequence[int], candidates: Sequence[int], *, template: int = 0) -> EncodedPrompt:
        """Token ids and slots of one example; `template` picks the wording, 0 is the one used in evaluation."""
        return self.encoder.encode(self.encoder.build(history, candidates, template=template))

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that training changes, by name: adapter or backbone, projector, placeholder, head, ..."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def _places_read(batch: PromptBatch, *, answer: bool, listwise: bool) -> Tensor:
    """Places, with batch and time as one dimension, whose final states an output needs, ascending."""
    width = batch.token_ids.shape[1]
    places = [batch.answer_rows * width + batch.answer_positions] if answer else []
    if listwise:
        rows = torch.arange(len(batch), device=batch.token_ids.device)
        places.append((rows[:, None] * width + batch.candidate_positions).flatten())
    places_read: Tensor = torch.unique(torch.cat(places))
    return places_read


def _start_backbone(
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
