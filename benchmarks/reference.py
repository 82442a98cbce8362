"""What the speed benchmark compares with: the same work as a careful user writes it with transformers and peft alone.

Training computes logits at every position, pads to the longest row and fills slots in a Python loop; evaluation
generates 64 tokens greedily, or scores every candidate in a pass of its own. Prompts and weights are our model's own.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from benchmarks.workload import Precision
from llara.model import Llara
from llara.prompt import EncodedPrompt

BATCH_SIZE = 8
NEW_TOKENS = 64
_IGNORED = -100


class PlainModel:
    """A causal LM with a peft adapter and a projector, and nothing that makes it fast.

    Args:
        folder: The backbone.
        llara: Gives item table, projector and encoder; its backbone is not used.
        precision: Of weights and products.
    """

    def __init__(self, folder: str, llara: Llara, *, precision: Precision) -> None:
        from peft import LoraConfig, get_peft_model  # noqa: PLC0415

        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        backbone: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=self.dtype)
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        lora = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=names)
        with warnings.catch_warnings():
            # peft asks transformers for an attribute by its old name.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
            self.model = get_peft_model(backbone, lora)
        self.projector = llara.projector
        self.item_table = llara.item_table
        self.encoder = llara.encoder

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision, as trainers switch it on."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def parameters(self) -> list[torch.nn.Parameter]:
        """What training changes."""
        parameters = [*self.model.parameters(), *self.projector.parameters()]
        return [parameter for parameter in parameters if parameter.requires_grad]

    def embed(self, prompts: Sequence[EncodedPrompt], sequences: Sequence[list[int]], *, left: bool) -> list[Tensor]:
        """Padded embeddings with filled slots, [B, T, D], and the attention mask, [B, T]."""
        width = max(len(tokens) for tokens in sequences)
        shifts = [width - len(tokens) if left else 0 for tokens in sequences]
        filler = self.encoder.filler
        padded = [
            [filler] * shift + tokens + [filler] * (width - shift - len(tokens))
            for tokens, shift in zip(sequences, shifts, strict=True)
        ]
        embedded = self.model.get_input_embeddings()(torch.tensor(padded)).clone()
        for row, prompt in enumerate(prompts):
            for position, item in zip(prompt.slot_positions, prompt.slot_items, strict=True):
                embedded[row, position + shifts[row]] = self.projector(self.item_table[item]).to(embedded.dtype)
        mask = torch.zeros(len(padded), width, dtype=torch.long)
        for row, (tokens, shift) in enumerate(zip(sequences, shifts, strict=True)):
            mask[row, shift : shift + len(tokens)] = 1
        return [embedded, mask]

    def loss(self, prompts: Sequence[EncodedPrompt], answers: Sequence[Sequence[int]]) -> Tensor:
        """Cross-entropy of the answers, with logits at every position."""
        sequences = [prompt.token_ids + list(answer) for prompt, answer in zip(prompts, answers, strict=True)]
        with self.autocast():
            embedded, mask = self.embed(prompts, sequences, left=False)
            labels = torch.full(mask.shape, _IGNORED)
            for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
                start = len(prompt.token_ids)
                labels[row, start : start + len(answer)] = torch.tensor(answer)
            loss: Tensor = self.model(inputs_embeds=embedded, attention_mask=mask, labels=labels).loss
        return loss

    @torch.no_grad()
    def generate(self, prompts: Sequence[EncodedPrompt]) -> Tensor:
        """64 greedy tokens for each prompt, [B, 64]."""
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, pad_token_id=self.encoder.filler
        )
        with self.autocast():
            embedded, mask = self.embed(prompts, [prompt.token_ids for prompt in prompts], left=True)
            written: Tensor = self.model.generate(  # type: ignore[no-untyped-call]
                inputs_embeds=embedded, attention_mask=mask, generation_config=settings
            )
        return written

    @torch.no_grad()
    def score_each(self, prompt: EncodedPrompt, answers: Sequence[Sequence[int]]) -> list[float]:
        """Log-likelihood of each answer, one sequence per answer."""
        return [score for part in _parts(answers) for score in self._score_part(prompt, part)]

    def _score_part(self, prompt: EncodedPrompt, answers: Sequence[Sequence[int]]) -> list[float]:
        sequences = [prompt.token_ids + list(answer) for answer in answers]
        with self.autocast():
            embedded, mask = self.embed([prompt] * len(answers), sequences, left=False)
            logits = self.model(inputs_embeds=embedded, attention_mask=mask).logits
        start = len(prompt.token_ids)
        scores = []
        for row, answer in enumerate(answers):
            log_probs = logits[row, start - 1 : start - 1 + len(answer)].float().log_softmax(dim=-1)
            scores.append(float(log_probs.gather(1, torch.tensor(answer)[:, None]).sum()))
        return scores


def _parts(answers: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    for start in range(0, len(answers), BATCH_SIZE):
        yield answers[start : start + BATCH_SIZE]
