"""Scores of the sequence head: one pass over a history, one product with the vectors of all items."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from llara.model.arguments import Items, check_rows
from llara.model.network import Network
from llara.model.passes import autocast, folded_for, length_batches
from llara.prompt import collate_histories

FloatArray = NDArray[np.float64]
Progress = Callable[[int], None]
"""Called with the number of rows just finished."""


@torch.inference_mode()
def score_catalog(network: Network, histories: Items, *, hybrid: bool = True, batch_size: int = 16) -> FloatArray:
    """Score the whole catalog after each history by the sequence head: one pass over the history, one product.

    Args:
        network: The model, with a sequence head; put into evaluation mode.
        histories: Item indices without padding, oldest first, one row each, [N].
        hybrid: Fill slots with behavioral tokens (else with the placeholder).
        batch_size: Histories per pass.

    Returns:
        Scores [N, num_items + 1], higher is better; column 0, padding, is -inf.

    Raises:
        ConfigError: If the model has no sequence head.
        DataError: If a history is empty or holds what is no item.
    """
    check_rows(histories, histories, num_items=network.encoder.num_items, equal=False)
    network.sequence_head()
    network.eval()
    scores = np.empty((len(histories), network.encoder.num_items + 1))
    for places, found in _catalog_batches(network, histories, hybrid=hybrid, batch_size=batch_size):
        scores[places] = found
    return scores


def _catalog_batches(
    network: Network, histories: Items, *, hybrid: bool, batch_size: int
) -> Iterator[tuple[list[int], FloatArray]]:
    """Row numbers of each pass, and their scores of the whole catalog, [rows, num_items + 1]."""
    network.sequence_head()
    prompts = [network.encode_history(history) for history in histories]
    lengths = [(len(prompt.token_ids), 0) for prompt in prompts]
    with folded_for(network, len(prompts)), autocast(network):
        for rows in length_batches(lengths, batch_size):
            batch = collate_histories(
                [prompts[row] for row in rows],
                hybrid=[hybrid] * len(rows),
                filler=network.encoder.filler,
                padded_width=network.padded_width,
            ).to(network.device)
            found = network(batch, answer=False, listwise=False, sequence=True).sequence
            yield rows, found.double().cpu().numpy()


def sequence_scores(
    network: Network,
    histories: Items,
    candidates: Items,
    *,
    hybrid: bool,
    batch_size: int,
    on_progress: Progress | None = None,
) -> FloatArray:
    """Scores of candidates, [N, C], as `score_candidates` has them.

    Each history is read once; its rows' candidates are picked from the scores of the whole catalog.
    """
    asked: dict[tuple[int, ...], list[int]] = {}
    for row, history in enumerate(histories):
        asked.setdefault(tuple(history), []).append(row)
    rows_of = list(asked.values())
    scores = np.empty((len(histories), len(candidates[0]) if candidates else 0))
    for places, of_catalog in _catalog_batches(network, list(asked), hybrid=hybrid, batch_size=batch_size):
        for place, found in zip(places, of_catalog, strict=True):
            for row in rows_of[place]:
                scores[row] = found[list(candidates[row])]
        if on_progress is not None:
            on_progress(sum(len(rows_of[place]) for place in places))
    return scores
