"""Made-up prompts with two answers each, their plain scores, and the same scores in our ways."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig

from llara.model.backbone import causal_lm, decoder, head_logits, input_embeddings, position_limit
from llara.model.prefix import Prefix, shares_prefixes
from llara.model.reading import final_states
from llara.prompt import EncodedPrompt, PromptBatch, collate, collate_left, collate_tree
from llara.prompt.encoding import CANDIDATE_PART, WORDING_PART

_LONG = (60, 37, 20)
"""Tokens of the two prompts and of what they share: beyond every window of a twin."""
_WRITTEN = 3
_FOREIGN_PLACE = 3


@dataclass(frozen=True)
class Probe:
    """Prompts and what plain passes say of them.

    Attributes:
        prompts: Two that begin alike.
        shared: Tokens that they share.
        answers: Two per prompt, which begin alike too, [2][2][tokens].
        foreign: A vector of no token, which stands at one place of each prompt, [D]; None: token ids alone.
        expected: Log-probabilities of each answer's tokens, [2][2][tokens].
        at_candidates: Log-probabilities of all tokens after each candidate, [2, 2, V].
    """

    prompts: Sequence[EncodedPrompt]
    shared: int
    answers: Sequence[Sequence[Sequence[int]]]
    foreign: Tensor | None
    expected: Sequence[Sequence[Tensor]]
    at_candidates: Tensor

    @torch.no_grad()
    def fault(self, model: nn.Module, way: str) -> str | None:
        """By how much the scores of a way differ from the plain ones, where that is more than rounding."""
        found, expected = {
            "batched": self._batched,
            "tree": self._tree,
            "prefix": self._prefix,
            "generation": self._generated,
        }[way](model)
        return _difference(found, expected, dtype=input_embeddings(model).weight.dtype)

    def training(self, model: nn.Module) -> str | None:
        """One forward and backward pass in training mode; what is trained must get finite gradients."""
        model.train()
        batch = self._batch(model)
        places = batch.answer_rows, batch.answer_positions
        hidden = final_states(model, self._embed(model, batch), batch)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # Also the other positions: listwise scores read them.
        loss = head_logits(model, hidden[places]).log_softmax(dim=-1).mean() + hidden.float().square().mean()
        if trained:
            loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        model.zero_grad()
        if trained and not gradients:
            return "no gradient reaches the trained weights"
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        return None if finite and bool(torch.isfinite(loss)) else "loss or gradients are not finite"

    def _batch(self, model: nn.Module) -> PromptBatch:
        answers = [answers[0] for answers in self.answers]
        return collate(self.prompts, hybrid=[False, False], filler=0, answers=answers).to(_device(model))

    def _embed(self, model: nn.Module, batch: PromptBatch, *, pads: Sequence[int] = (0, 0), start: int = 0) -> Tensor:
        embedded: Tensor = input_embeddings(model)(batch.token_ids)
        return embedded if start else with_foreign(embedded, self.foreign, [pad + _FOREIGN_PLACE for pad in pads])

    def _batched(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        batch = self._batch(model)
        hidden = final_states(model, self._embed(model, batch), batch)
        listed = self._listed(model, hidden, batch)
        scores = _answer_log_probs(model, hidden, batch)
        return _joined([scores, listed], [torch.cat([row[0] for row in self.expected]), self.at_candidates])

    def _listed(self, model: nn.Module, hidden: Tensor, batch: PromptBatch) -> Tensor:
        rows = torch.arange(len(batch), device=hidden.device)[:, None]
        return head_logits(model, hidden[rows, batch.candidate_positions]).log_softmax(dim=-1)

    def _tree(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        return self._tree_of(model, self.prompts, None)

    def _tree_of(
        self, model: nn.Module, prompts: Sequence[EncodedPrompt], prefix: Prefix | None
    ) -> tuple[Tensor, Tensor]:
        batch = collate_tree(prompts, self.answers, hybrid=[False, False], filler=0).to(_device(model))
        start = prefix.length if prefix is not None else 0
        hidden = final_states(model, self._embed(model, batch, start=start), batch, prefix=prefix)
        nodes = _answer_log_probs(model, hidden, batch)
        cells = batch.answer_rows[batch.path_tokens] * 2 + batch.path_columns
        found = nodes.new_zeros(4).index_add_(0, cells, nodes[batch.path_tokens])
        expected = torch.stack([tokens.sum() for row in self.expected for tokens in row])
        return _joined([found, self._listed(model, hidden, batch)], [expected, self.at_candidates])

    def _prefix(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Where a backbone's prefixes are never shared, nothing is claimed."""
        if not shares_prefixes(model):
            return torch.zeros(1), torch.zeros(1)
        ids = torch.tensor([self.prompts[0].token_ids[: self.shared]], device=_device(model))
        embedded = with_foreign(input_embeddings(model)(ids), self.foreign, [_FOREIGN_PLACE])
        cache = DynamicCache()
        decoder(model)(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
        prefix = Prefix(cache, length=self.shared)
        rest = [prompt.after(self.shared) for prompt in self.prompts]
        batch = collate(rest, hybrid=[False, False], filler=0).to(_device(model))
        hidden = final_states(model, self._embed(model, batch, start=self.shared), batch, prefix=prefix)
        found, expected = self._tree_of(model, rest, prefix)
        return _joined([found, self._listed(model, hidden, batch)], [expected, self.at_candidates])

    def _generated(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Each step's log-probabilities in a left-padded batch, and those of plain passes over what was written."""
        lm = causal_lm(model)
        batch = collate_left(self.prompts, hybrid=[False, False], filler=0).to(_device(model))
        width = batch.token_ids.shape[1]
        pads = [width - len(prompt.token_ids) for prompt in self.prompts]
        settings = GenerationConfig(
            do_sample=False, min_new_tokens=_WRITTEN, max_new_tokens=_WRITTEN, eos_token_id=1, pad_token_id=0,
            use_cache=True, return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        written = lm.generate(  # type: ignore[operator]
            inputs_embeds=self._embed(model, batch, pads=pads),
            attention_mask=batch.is_token.long(),
            generation_config=settings,
        )
        found, expected = [], []
        for row, prompt in enumerate(self.prompts):
            tokens = written.sequences[row, -_WRITTEN:].tolist()
            plain = plain_log_probs(model, [*prompt.token_ids, *tokens[:-1]], self.foreign)
            expected.append(plain[len(prompt.token_ids) - 1 :])
            found.append(torch.stack([step[row] for step in written.logits]).float().log_softmax(dim=-1))
        return torch.cat(found), torch.cat(expected)


@torch.no_grad()
def make_probe(model: nn.Module, *, lengths: tuple[int, int, int] | None, foreign: bool) -> Probe:
    """Made-up prompts for a backbone, and what plain passes say of them.

    Args:
        model: In evaluation mode.
        lengths: Tokens of the two prompts and of what they share; None: beyond every window of a twin.
        foreign: Whether a vector of no token stands in the prompts.
    """
    config = causal_lm(model).config.get_text_config(decoder=True)
    limit = position_limit(config)
    longest, shorter, shared = (
        size if limit is None else min(size, limit - 8 - place) for place, size in enumerate(lengths or _LONG)
    )
    generator = torch.Generator().manual_seed(0)
    special = {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos")}
    usable = [token for token in range(2, min(config.vocab_size, 400)) if token not in special]

    def draw(count: int) -> list[int]:
        return [usable[place] for place in torch.randint(len(usable), (count,), generator=generator).tolist()]

    begin = draw(shared)
    texts = [[*begin, *draw(longest - shared)], [*begin, *draw(shorter - shared)]]
    answers = []
    for _ in texts:
        first = draw(1)
        answers.append([[*first, *draw(2)], [*first, *draw(3)]])
    parameter = input_embeddings(model).weight
    drawn = torch.randn(parameter.shape[1], generator=generator) * float(parameter.float().std())
    vector = drawn.to(parameter.device, parameter.dtype) if foreign else None
    plain = [
        [plain_log_probs(model, [*text, *answer[:-1]], vector) for answer in branches]
        for text, branches in zip(texts, answers, strict=True)
    ]
    prompts = [_prompt(text, shared) for text in texts]
    return Probe(
        prompts=prompts,
        shared=shared,
        answers=answers,
        foreign=vector,
        expected=[
            [
                log_probs[len(text) - 1 :].gather(1, torch.tensor(answer, device=log_probs.device)[:, None])[:, 0]
                for log_probs, answer in zip(found, branches, strict=True)
            ]
            for text, found, branches in zip(texts, plain, answers, strict=True)
        ],
        at_candidates=torch.stack(
            [found[0][prompt.candidate_positions] for found, prompt in zip(plain, prompts, strict=True)]
        ),
    )


def _prompt(tokens: list[int], shared: int) -> EncodedPrompt:
    """A prompt whose two candidates end halfway behind the shared part, and at the last token but one."""
    return EncodedPrompt(
        token_ids=tokens,
        slot_positions=[],
        slot_items=[],
        candidate_positions=[(shared + len(tokens)) // 2, len(tokens) - 2],
        candidate_items=[1, 2],
        history_items=[],
        parts=[WORDING_PART] * shared + [CANDIDATE_PART] * (len(tokens) - shared),
    )


def plain_log_probs(model: nn.Module, tokens: Sequence[int], foreign: Tensor | None) -> Tensor:
    """What the whole language model says after each token of one row, without cache or mask, [T, V]."""
    lm = causal_lm(model)
    ids = torch.tensor([list(tokens)], device=_device(model))
    if foreign is None:
        logits = lm(input_ids=ids, use_cache=False).logits
    else:
        embedded = with_foreign(input_embeddings(model)(ids), foreign, [_FOREIGN_PLACE])
        logits = lm(inputs_embeds=embedded, use_cache=False).logits
    log_probs: Tensor = logits[0].float().log_softmax(dim=-1)
    return log_probs


def with_foreign(embedded: Tensor, foreign: Tensor | None, places: Sequence[int]) -> Tensor:
    """The embeddings with a vector of no token at one place of each row."""
    if foreign is None:
        return embedded
    rows, columns = torch.arange(len(places)), torch.tensor(list(places))
    return embedded.index_put((rows.to(embedded.device), columns.to(embedded.device)), foreign.to(embedded.dtype))


def _answer_log_probs(model: nn.Module, hidden: Tensor, batch: PromptBatch) -> Tensor:
    log_probs = head_logits(model, hidden[batch.answer_rows, batch.answer_positions]).log_softmax(dim=-1)
    return log_probs.gather(1, batch.answer_tokens[:, None])[:, 0]


def _device(model: nn.Module) -> torch.device:
    return input_embeddings(model).weight.device


def _joined(found: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([part.flatten() for part in found]), torch.cat([part.flatten() for part in expected])


def _difference(found: Tensor, expected: Tensor, *, dtype: torch.dtype) -> str | None:
    """What differs, unless it is rounding.

    In half precision a rounding can send a token to another expert of a mixture, or add up over unlikely answers, so
    it is the median that must be right.
    """
    difference, size = (found - expected).abs(), expected.abs()
    if dtype == torch.float32:
        off, allowed = difference.max(), 1e-3 + 1e-4 * size.max()
    else:
        off, allowed = difference.median(), 0.1 + 0.05 * size.median()
    if bool(off <= allowed):
        return None
    return f"off by up to {float(difference.max()):.2g} nats, where rounding explains {float(allowed):.2g}"
