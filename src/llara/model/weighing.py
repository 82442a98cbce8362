"""How much a head and the recommender's judgment under it count: set by calibration, set aside to see either alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from llara.model.network import Network

Head = Literal["listwise", "sequence"]


def leave_prior_out(network: Network) -> None:
    """Train the heads by themselves: the recommender's scores get weight 0 until `weigh` gives them another."""
    for way in ("listwise", "sequence"):
        if way == "listwise" or network.sequence is not None:
            network.prior_weight_of(way).requires_grad_(False).zero_()


@torch.no_grad()
def weigh(network: Network, way: str, *, head: float, prior: float) -> None:
    """Multiply the scores of a head by `head`, and give the recommender's the weight `prior`.

    A head of weight 0 keeps what it has learned and is silent: `by_itself` still hears it.
    """
    if head == 0:
        network.silent.add(way)
    else:
        network.silent.discard(way)
        part = network.sequence_head().of_state if way == "sequence" else network.head
        for weight in part.parameters():
            weight.mul_(head)
    network.prior_weight_of(way).fill_(prior)


@contextmanager
def by_itself(network: Network, way: str) -> Iterator[None]:
    """Within, a head's scores are its own: the recommender's judgment has no part in them, and a silent head speaks."""
    weight, was_silent = network.prior_weight_of(way), way in network.silent
    learned = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
    network.silent.discard(way)
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(learned)
        if was_silent:
            network.silent.add(way)


def is_silent(network: Network, way: str) -> bool:
    """Whether a head has no say."""
    return way in network.silent or not has_learned(network, way)


def has_learned(network: Network, way: str) -> bool:
    """Whether a head has weights; calibration left zeros before heads could be silent."""
    if way == "sequence":
        return network.sequence is None or bool(network.sequence.of_state.weight.detach().any())
    return way != "listwise" or bool(network.head.weight.detach().any())
