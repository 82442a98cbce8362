"""Scores of candidates: exact answer likelihood (one tree per prompt), listwise or sequence head, free generation."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import GenerationConfig

from llara.model.arguments import Items, check_rows, check_scorer
from llara.model.backbone import causal_lm
from llara.model.catalog_scores import FloatArray, Progress, sequence_scores
from llara.model.network import Network
from llara.model.ordering import in_order, shown_columns
from llara.model.passes import autocast, folded_for, length_batches
from llara.model.prefix import Prefix
from llara.model.settings import ScorerName
from llara.model.sharing import read_prefix, rows_by_prefix
from llara.model.turns import turn
from llara.prompt import EncodedPrompt, collate, collate_left, collate_tree, named_candidate


def encode_prompts(network: Network, histories: Items, candidates: Items) -> list[EncodedPrompt]:
    """One prompt per row, in the evaluation wording, with the candidates in the order given."""
    return [network.encode_prompt(history, items) for history, items in zip(histories, candidates, strict=True)]


@torch.inference_mode()
def score_candidates(
    network: Network,
    histories: Items,
    candidates: Items,
    *,
    scorer: ScorerName = "answer",
    hybrid: bool = True,
    batch_size: int = 16,
    on_progress: Progress | None = None,
) -> FloatArray:
    """Score every candidate of every row in one forward pass per batch.

    Give several draws of the same histories in one call: their common beginning is then read once.

    Args:
        network: The model; put into evaluation mode. May score in many threads at once, but not while it is trained.
        histories: Item indices without padding, oldest first, one row each, [N].
        candidates: Item indices to score; the same number in each row, [N, C].
        scorer: `answer`: log-likelihood of the candidate's answer, end token included, in nats (exact: equals one pass
            per candidate); `listwise`: the listwise head; `sequence`: the sequence head, one pass per history however
            many rows share it.
        hybrid: Fill slots with behavioral tokens (else with the placeholder).
        batch_size: Rows per pass.
        on_progress: Told how many rows each pass finished.

    Returns:
        Scores [N, C], higher is better, in the order of `candidates`.

    Raises:
        ConfigError: If there is no such scorer.
        DataError: If rows are empty, differ in width or number, or hold what is no item.
    """
    check_scorer(scorer)
    check_rows(histories, candidates, num_items=network.encoder.num_items)
    network.eval()
    if scorer == "sequence":
        return sequence_scores(
            network, histories, candidates, hybrid=hybrid, batch_size=batch_size, on_progress=on_progress
        )
    if scorer == "answer":
        network.verdict.require("tree")
    columns = shown_columns(network, histories, candidates, hybrid=hybrid)
    prompts = encode_prompts(network, histories, in_order(candidates, columns))
    scores = np.full((len(prompts), len(candidates[0]) if prompts else 0), -np.inf)
    score = _answer_scores if scorer == "answer" else _listwise_scores
    with folded_for(network, len(prompts)), autocast(network):
        for rows, prefix in _batches(network, prompts, scorer=scorer, hybrid=hybrid, batch_size=batch_size):
            chosen = [prompts[row] if prefix is None else prompts[row].after(prefix.length) for row in rows]
            found = score(network, chosen, hybrid, prefix).cpu().double().numpy()
            for row, of_row in zip(rows, found, strict=True):
                scores[row, columns[row]] = of_row
            if on_progress is not None:
                on_progress(len(rows))
    return scores


def _batches(
    network: Network, prompts: Sequence[EncodedPrompt], *, scorer: ScorerName, hybrid: bool, batch_size: int
) -> Iterator[tuple[list[int], Prefix | None]]:
    """Row numbers of each pass, and what was read before them."""
    lengths = _lengths(network, prompts, scorer)
    groups, others = rows_by_prefix(network, prompts)
    for length, group in groups:
        prefix = read_prefix(network, prompts[group[0]], length=length, hybrid=hybrid)
        passes = -(-len(group) // batch_size)
        for places in length_batches([lengths[row] for row in group], -(-len(group) // passes)):
            yield [group[place] for place in places], prefix
    for places in length_batches([lengths[row] for row in others], batch_size):
        yield [others[place] for place in places], None


def _lengths(network: Network, prompts: Sequence[EncodedPrompt], scorer: ScorerName) -> list[tuple[int, int]]:
    if scorer == "listwise":
        return [(len(prompt.token_ids), 0) for prompt in prompts]
    answers = network.encoder.answer_tokens
    return [(len(prompt.token_ids), sum(len(answers(item)) for item in prompt.candidate_items)) for prompt in prompts]


def _listwise_scores(
    network: Network, prompts: Sequence[EncodedPrompt], hybrid: bool, prefix: Prefix | None
) -> torch.Tensor:
    batch = collate(prompts, hybrid=[hybrid] * len(prompts), filler=network.encoder.filler).to(network.device)
    output = network(batch, answer=False, listwise=True, prefix=prefix)
    scores: torch.Tensor = output.listwise
    return scores.float()


def _answer_scores(
    network: Network, prompts: Sequence[EncodedPrompt], hybrid: bool, prefix: Prefix | None
) -> torch.Tensor:
    answers = [[network.encoder.answer_tokens(item) for item in prompt.candidate_items] for prompt in prompts]
    batch = collate_tree(prompts, answers, hybrid=[hybrid] * len(prompts), filler=network.encoder.filler).to(
        network.device
    )
    log_probs = network(batch, answer=True, listwise=False, prefix=prefix).answer_log_probs.float()
    shape = batch.candidate_positions.shape
    flat = log_probs.new_zeros(shape[0] * shape[1])
    cell = batch.answer_rows[batch.path_tokens] * shape[1] + batch.path_columns
    flat.index_add_(0, cell, log_probs[batch.path_tokens])
    scores: torch.Tensor = flat.view(shape).masked_fill(~batch.candidate_mask, float("-inf"))
    return scores


@torch.inference_mode()
def generate_answers(
    network: Network,
    histories: Items,
    candidates: Items,
    *,
    hybrid: bool = True,
    max_new_tokens: int | None = None,
    batch_size: int = 16,
    on_progress: Progress | None = None,
) -> list[str]:
    """Let the model write its answer freely (greedy, left-padded, up to the end token): the paper's way.

    Args:
        network: The model; put into evaluation mode.
        histories: Item indices without padding, oldest first, one row each, [N].
        candidates: Item indices shown in the prompt, [N, C].
        hybrid: Fill slots with behavioral tokens (else with the placeholder).
        max_new_tokens: Longest answer; None: the row's longest candidate answer plus 8.
        batch_size: Rows per pass.
        on_progress: Told how many rows each pass finished.

    Returns:
        Generated text per row, end token cut off.

    Raises:
        DataError: If rows are empty, differ in number, or hold what is no item.
    """
    check_rows(histories, candidates, num_items=network.encoder.num_items, equal=False)
    network.eval()
    network.verdict.require("generation")
    columns = shown_columns(network, histories, candidates, hybrid=hybrid)
    prompts = encode_prompts(network, histories, in_order(candidates, columns))
    answers = [""] * len(prompts)
    lm = causal_lm(network.model)
    with folded_for(network, len(prompts)):
        for rows in length_batches([(len(prompt.token_ids), 0) for prompt in prompts], batch_size):
            chosen = [prompts[row] for row in rows]
            limits = [max_new_tokens or answer_limit(network, prompt) for prompt in chosen]
            generation = GenerationConfig(
                do_sample=False,
                max_new_tokens=max(limits),
                eos_token_id=network.encoder.frame.end,
                pad_token_id=network.encoder.filler,
                use_cache=True,
            )
            network.require_positions(max(len(prompt.token_ids) for prompt in chosen) + max(limits))
            batch = collate_left(chosen, hybrid=[hybrid] * len(chosen), filler=network.encoder.filler).to(
                network.device
            )
            with autocast(network), turn(lm.config):
                written = lm.generate(  # type: ignore[operator]
                    inputs_embeds=network.embed(batch),
                    attention_mask=batch.is_token.long(),
                    generation_config=generation,
                )
            for row, ids, limit in zip(rows, written.tolist(), limits, strict=True):
                answers[row] = decode_answer(network, ids[:limit])
            if on_progress is not None:
                on_progress(len(rows))
    return answers


def answer_limit(network: Network, prompt: EncodedPrompt) -> int:
    """Tokens that a row may write; of its own candidates only, so that an answer does not depend on other rows."""
    return max(len(network.encoder.answer_tokens(item)) for item in prompt.candidate_items) + 8


def decode_answer(network: Network, ids: Sequence[int]) -> str:
    """Generated ids up to the end token, as text."""
    end = network.encoder.frame.end
    kept = list(ids[: list(ids).index(end)]) if end in ids else list(ids)
    return str(network.tokenizer.decode(kept, skip_special_tokens=True)).strip()


def chosen_columns(network: Network, answers: Sequence[str], candidates: Items) -> list[int | None]:
    """Candidate column that each generated answer names; None where it names none or several (an invalid answer)."""
    return [
        named_candidate(answer, [network.encoder.answer_text(item) for item in items])
        for answer, items in zip(answers, candidates, strict=True)
    ]
