"""The network: backbone, projector, injection and heads; a batch of prompts in, log-probabilities and scores out."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Self, cast, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llara.data import IntArray
from llara.errors import CheckpointError, ConfigError, PromptError
from llara.model.backbone import (
    NANO,
    causal_lm,
    decoder,
    embedding_norm,
    head_logits,
    input_embeddings,
    position_limit,
)
from llara.model.kernels.allocation import keep_freed_memory
from llara.model.kernels.last_layer import LastFeedForward
from llara.model.kernels.lora import folded_adapters, hold_folded, products_of, use_products
from llara.model.kernels.products import ProductLibrary
from llara.model.outputs import LlaraOutput, ScoredItems
from llara.model.precision import resolve_precision
from llara.model.prefix import Prefix
from llara.model.projector import Projector, inject
from llara.model.reading import final_states
from llara.model.selftest import self_test
from llara.model.sequence import SequenceHead, scores_after_items
from llara.model.settings import LlaraConfig
from llara.model.slots import SLOT_KINDS
from llara.model.turns import turn
from llara.prompt import EncodedPrompt, PromptBatch, PromptEncoder
from llara.prompt.batching import SlotPlaces
from llara.prompt.slots import ITEM
from llara.recommender import Recommender

_WIDTHS, _PLACES = 16, 64
"""What widths of batches beyond the first 16 tokens, and numbers of places that are read, are multiples of, on CPUs."""
LOGITS_AT_ONCE = 2**24
"""Vocabulary logits that are held in memory at a time: more of them leave the processor's cache."""


class Network(nn.Module):
    """Backbone, projector, placeholder and listwise head around a frozen recommender.

    A forward pass is a function of its arguments: many threads may run one at once.

    Args:
        model: Causal LM, with or without adapter, prepared by `prepare_backbone`.
        encoder: Prompt encoder over the backbone's tokenizer and the catalog.
        recommender: Fitted recommender; its item table feeds the projector and never changes.
        config: As used to build `model` and `encoder`.
        texts: With `config.sequence.head`: a vector of each item's text, row 0 padding, [num_items + 1, V].

    Attributes:
        silent: Heads whose scores are 0, as `llara.model.weighing` left them: the recommender alone ranks.
    """

    item_table: Tensor

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        encoder: PromptEncoder,
        recommender: Recommender,
        config: LlaraConfig,
        texts: Tensor | None = None,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        self.verdict = self_test(model, config.backbone)
        self.verdict.require("reading", "batched")
        self.model = model
        self.encoder = encoder
        self.config = config
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
        self.sequence: SequenceHead | None = None
        self.text_projector: Projector | None = None
        if texts is not None:
            self.sequence = SequenceHead(
                self.item_table, texts, state_width=width, width=config.sequence.width, seed=config.seed,
                learns_prior=config.recommender_prior,
            )  # fmt: skip
            if config.sequence.items == "vectors":
                # Another seed than the projector's: equal weights would add up where both read vectors of one width.
                self.text_projector = Projector(self.sequence.texts, width, target_norm=norm, seed=config.seed + 1)
        self.silent: set[str] = set()
        self.slots = nn.ModuleDict()
        self._build_slots()
        self.last_feed_forward = LastFeedForward(
            decoder(model), width=width, recomputes=config.backbone.gradient_checkpointing
        )

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
        if self.sequence is not None:
            self.sequence.take_items(self.item_table)
        self._build_slots()

    def _build_slots(self) -> None:
        """The weights of the kinds of slots that the wordings name."""
        for kind in self.encoder.slot_kinds:
            own = SLOT_KINDS[kind].build(self)
            if own is not None:
                self.slots[kind] = own.to(self.device)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode of everything that learns; the frozen recommender stays in evaluation mode."""
        super().train(mode)
        self.recommender.eval()
        return self

    @property
    def width(self) -> int:
        """Width D of the backbone."""
        return input_embeddings(self.model).embedding_dim

    @property
    def seed(self) -> int:
        """Seed of what is new."""
        return self.config.seed

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
        """The vector of each item's slot, [S, D]: its projection in hybrid rows, the placeholder in the others.

        A slot that stands for a whole item has its text's projection besides.
        """
        vectors = self._vectors(ITEM, batch, SlotPlaces(batch.slot_rows, batch.slot_positions, batch.slot_items))
        if not batch.whole_items:
            return vectors
        assert self.text_projector is not None
        items, place = torch.unique(batch.slot_items, return_inverse=True)
        of_text: Tensor = self.text_projector(self.sequence_head().texts[items])[place]
        return vectors + of_text

    def _vectors(self, kind: str, batch: PromptBatch, places: SlotPlaces) -> Tensor:
        """Vectors of slots of one kind, [S, D]."""
        behavioral = SLOT_KINDS[kind].vectors(self, places.keys, batch.history_items[places.rows])
        return torch.where(batch.hybrid[places.rows][:, None], behavioral, self.placeholder)

    def embed(self, batch: PromptBatch) -> Tensor:
        """Input embeddings with filled slots, [B, T, D]."""
        embedded: Tensor = input_embeddings(self.model)(batch.token_ids)
        device = embedded.device.type
        if torch.is_autocast_enabled(device):
            # The residual stream inherits this dtype: half the bytes for every element-wise operation.
            embedded = embedded.to(torch.get_autocast_dtype(device))
        if batch.slot_items.numel() > 0:
            embedded = inject(embedded, batch.slot_rows, batch.slot_positions, self.slot_vectors(batch))
        for kind, places in batch.other_slots.items():
            embedded = inject(embedded, places.rows, places.positions, self._vectors(kind, batch, places))
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
        sequence: bool = False,
        items: ScoredItems | None = None,
        prior: Tensor | None = None,
        prefix: Prefix | None = None,
    ) -> LlaraOutput:
        """One pass over a batch; ask only for what is needed.

        Args:
            batch: Prompts, with answers where `answer` is asked; histories alone where `sequence` is.
            answer: Compute the log-probabilities of the answer tokens.
            listwise: Compute the listwise scores.
            sequence: Compute the scores of the sequence head.
            items: Of these items only; None: of the whole catalog.
            prior: With `recommender_prior`: log-probability of each candidate, [B, C], or scores of the items after
                each history item, [M, S], to use in place of the recommender's own, which is too sure of rows that it
                was fitted on.
            prefix: What stands before every row of the batch and was read already; scoring only.
        """
        self.require_positions(int(batch.position_ids.max()) + 1 + (prefix.length if prefix is not None else 0))
        places = _places_read(batch, answer=answer, listwise=listwise, sequence=sequence)
        B, T = batch.token_ids.shape
        with self.last_feed_forward.only(places, shape=(B, T)), turn(causal_lm(self.model).config):
            hidden = self.hidden_states(batch, prefix=prefix)
        log_probs = self._answer_log_probs(hidden, batch) if answer else None
        scores = self._listwise(hidden, batch, prior) if listwise else None
        indices = items.indices if items is not None else None
        of_items = self._sequence(hidden, batch, indices, prior) if sequence else None
        return LlaraOutput(answer_log_probs=log_probs, listwise=scores, sequence=of_items, items=items)

    def padded_width(self, longest: int) -> int:
        """Tokens per row of a batch whose longest row has so many: on a CPU rounded up, within the model's limit.

        oneDNN compiles a kernel for each shape: with widths as they come that is a fifth of a small model's training.
        """
        if self.device.type != "cpu" or longest <= _WIDTHS:
            return longest
        limit = position_limit(causal_lm(self.model).config)
        rounded = -(-longest // _WIDTHS) * _WIDTHS
        return max(longest, min(rounded, limit or rounded))

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
            if "listwise" in self.silent:
                scores = torch.zeros_like(scores)
            if self._has_prior(self.prior_weight):
                log_probs = self._recommender_log_probs(batch) if prior is None else prior
                usable = batch.candidate_mask & batch.hybrid[:, None]
                scores = scores + self.prior_weight * log_probs.masked_fill(~usable, 0.0)
        return scores.masked_fill(~batch.candidate_mask, float("-inf"))

    def _sequence(self, hidden: Tensor, batch: PromptBatch, items: Tensor | None, prior: Tensor | None) -> Tensor:
        head = self.sequence_head()
        rows, columns = _learned_places(batch)
        scores: Tensor = head(hidden[rows, batch.history_positions[rows, columns]], batch.hybrid[rows], items)
        if "sequence" in self.silent:
            scores = scores.masked_fill(~torch.isneginf(scores), 0.0)
        if not self._has_prior(head.prior_weight):
            return scores
        below = scores_after_items(self.recommender, batch, items) if prior is None else prior
        usable = batch.hybrid[rows][:, None] & ~torch.isneginf(below)  # padding; NaN must be seen
        return scores + head.prior_weight * below.masked_fill(~usable, 0.0)

    def _has_prior(self, weight: nn.Parameter) -> bool:
        """Whether the recommender's scores stand under a head; those of weight 0 need not be computed."""
        return self.config.recommender_prior and (weight.requires_grad or bool(weight))

    def prior_weight_of(self, way: str) -> nn.Parameter:
        """The weight of the recommender's scores under a head, `listwise` or `sequence`."""
        return self.sequence_head().prior_weight if way == "sequence" else self.prior_weight

    def sequence_head(self) -> SequenceHead:
        """The sequence head.

        Raises:
            ConfigError: If the model has none.
        """
        if self.sequence is None:
            raise ConfigError(
                "this model has no sequence head. Train it with train.objective.name: sequence, or make it with "
                "LlaraConfig(sequence=SequenceConfig(head=True))."
            )
        return self.sequence

    @torch.no_grad()
    def _recommender_log_probs(self, batch: PromptBatch) -> Tensor:
        """The recommender's log-probability of each candidate among those shown, -inf at padding, [B, C]."""
        return self.recommender.score(batch.history_items, batch.candidate_items).float().log_softmax(dim=-1)

    def encode_prompt(
        self,
        history: Sequence[int],
        candidates: Sequence[int],
        *,
        template: int = 0,
        slots: Mapping[str, int] | None = None,
    ) -> EncodedPrompt:
        """Token ids and slots of one example; `template` picks the wording, 0 is the one used in evaluation."""
        return self.encoder.encode(self.encoder.build(history, candidates, template=template, slots=slots))

    @property
    def reads_whole_items(self) -> bool:
        """Whether a history alone is one token per item."""
        return self.text_projector is not None

    def encode_history(self, history: Sequence[int]) -> EncodedPrompt:
        """A history alone, as `config.sequence.items` says."""
        if self.reads_whole_items:
            return self.encoder.encode_whole_items(history)
        return self.encoder.encode_history(history)

    def history_lengths(self, histories: Sequence[Sequence[int]]) -> IntArray:
        """Tokens of what `encode_history` makes of these, [N]."""
        if self.reads_whole_items:
            return self.encoder.whole_item_lengths(histories)
        return self.encoder.history_lengths(histories)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that training changes, by name: adapter or backbone, projector, placeholder, head, ..."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def _learned_places(batch: PromptBatch) -> tuple[Tensor, Tensor]:
    """Row and column in `history_items` of what the sequence head reads, [M] each."""
    if batch.next_items.shape[1]:
        rows, columns = (batch.next_items != 0).nonzero(as_tuple=True)
        return rows, columns
    rows = torch.arange(len(batch), device=batch.history_items.device)
    return rows, (batch.history_items != 0).sum(dim=1) - 1


def _places_read(batch: PromptBatch, *, answer: bool, listwise: bool, sequence: bool) -> Tensor:
    """Places, with batch and time as one dimension, whose final states an output needs, ascending."""
    width = batch.token_ids.shape[1]
    places = [batch.answer_rows * width + batch.answer_positions] if answer else []
    if listwise:
        rows = torch.arange(len(batch), device=batch.token_ids.device)
        places.append((rows[:, None] * width + batch.candidate_positions).flatten())
    if sequence:
        of_rows, columns = _learned_places(batch)
        places.append(of_rows * width + batch.history_positions[of_rows, columns])
    asked: Tensor = torch.unique(torch.cat(places))
    missing = -len(asked) % _PLACES
    if asked.device.type != "cpu" or missing > batch.token_ids.numel() - len(asked):
        return asked
    is_read = torch.zeros(batch.token_ids.numel(), dtype=torch.bool)
    is_read[asked] = True
    is_read[(~is_read).nonzero()[:missing, 0]] = True  # a few more, so that few shapes occur: see `padded_width`
    return is_read.nonzero()[:, 0]
