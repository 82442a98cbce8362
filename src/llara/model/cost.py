"""What a pass through the model costs in multiplications and additions, from the shapes of its weights."""

from dataclasses import dataclass

from torch import nn
from transformers.pytorch_utils import Conv1D

from llara.model.backbone import causal_lm, decoder, input_embeddings
from llara.model.network import Network
from llara.prompt import PromptBatch


@dataclass(frozen=True)
class BatchSize:
    """What of a batch costs, padding aside.

    Attributes:
        tokens: Tokens that the backbone reads.
        pairs: Tokens that attend to one another, in all rows.
        reads: Positions whose final states are read.
        logits: Positions whose vocabulary logits are computed.
    """

    tokens: int
    pairs: int
    reads: int
    logits: int

    @staticmethod
    def of(batch: PromptBatch, *, answer: bool, listwise: bool) -> "BatchSize":
        """Count a batch, of which the named outputs are asked."""
        prompts = batch.is_token[:, : batch.tree_start].sum(dim=1)
        nodes = batch.is_token.sum(dim=1) - prompts
        pairs = (prompts * (prompts + 1) // 2 + nodes * (prompts + 1)).sum()
        logits = len({*zip(batch.answer_rows.tolist(), batch.answer_positions.tolist(), strict=True)}) if answer else 0
        reads = logits + (int(batch.candidate_mask.sum()) if listwise else 0)
        return BatchSize(int(batch.is_token.sum()), int(pairs), reads, logits)

    def __add__(self, other: "BatchSize") -> "BatchSize":
        return BatchSize(
            self.tokens + other.tokens, self.pairs + other.pairs, self.reads + other.reads, self.logits + other.logits
        )


@dataclass(frozen=True)
class ModelCost:
    """Weights by what is done with them.

    Attributes:
        layers: Weights of the decoder's linear layers, which every token meets.
        last_part: Those of them in the last feed-forward part, where only the states meet them that are read.
        adapter: Weights of the adapter.
        head: Weights of the output head.
        attention: Heads times their width, in all layers.
        tuned: Weights that training changes, outside the adapter.
    """

    layers: int
    last_part: int
    adapter: int
    head: int
    attention: int
    tuned: int

    @staticmethod
    def of(llara: Network) -> "ModelCost":
        """Count a model's weights."""
        body = decoder(llara.model)
        embeddings = input_embeddings(llara.model)
        config = causal_lm(llara.model).config
        last = getattr(body, "layers", [None])[-1]
        part = getattr(last, "mlp", None) if llara.last_feed_forward.is_active else None
        adapter = sum(weight.numel() for name, weight in llara.model.named_parameters() if "lora_" in name)
        learned = sum(weight.numel() for weight in llara.model.parameters() if weight.requires_grad)
        head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return ModelCost(
            layers=_linear_weights(body),
            last_part=0 if part is None else _linear_weights(part),
            adapter=adapter,
            head=embeddings.num_embeddings * embeddings.embedding_dim,
            attention=config.num_attention_heads * head_width * config.num_hidden_layers,
            tuned=max(0, learned - adapter),
        )

    def forward(self, size: BatchSize) -> float:
        """Floating-point operations of a pass without gradients."""
        per_token = 2 * (self.layers - self.last_part) + 2 * self.adapter
        return (
            per_token * size.tokens
            + 2 * self.last_part * size.reads
            + 4 * self.attention * size.pairs
            + 2 * self.head * size.logits
        )

    def training(self, size: BatchSize) -> float:
        """Floating-point operations of a pass forward and backward.

        Backward takes as many as forward for the gradients of the states, twice as many in attention, and as many again
        for the gradients of the weights that are tuned.
        """
        of_attention = 4 * self.attention * size.pairs
        of_adapter = 2 * self.adapter * size.tokens
        of_tuned = 2 * self.tuned * size.tokens
        return 2 * self.forward(size) + of_attention + of_adapter + of_tuned


def _linear_weights(module: nn.Module) -> int:
    """Weights of linear layers below a module, those of adapters aside."""
    return sum(
        part.weight.numel()
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and "lora_" not in name
    )
