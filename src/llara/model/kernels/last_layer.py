"""The last layer's feed-forward part, computed only where its output is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llara.model.backbone import decoder, input_embeddings


class LastFeedForward:
    """Restricts the last layer's feed-forward part to the positions that are asked for.

    Only few of a prompt's final states are read: those that predict answers, and those of candidates. What the last
    layer adds to the others after its attention is never used: a twentieth of all work in a model of twelve layers, and
    a fifth in one of three. Hooks gather the positions before the part and put its output back, so that module names
    and saved files stay as they are.

    Args:
        model: The backbone, with or without adapter. If its last layer has no `mlp` that treats every token on its own,
            nothing is restricted.
        recomputes: Whether activations are computed again in the backward pass; then nothing is restricted either.
    """

    def __init__(self, model: nn.Module, *, recomputes: bool = False) -> None:
        self._places: Tensor | None = None
        self._shape: tuple[int, ...] = ()
        part = _feed_forward(model)
        self.is_active = part is not None and not recomputes
        if part is not None and self.is_active:
            part.register_forward_pre_hook(self._gather)
            part.register_forward_hook(self._scatter)
            self.is_active = _is_per_token(model, self)

    @contextmanager
    def only(self, places: Tensor) -> Iterator[None]:
        """Within the block, final states mean something at these places only.

        Args:
            places: Ascending places in the states with batch and time as one dimension, [K].
        """
        self._places = places if self.is_active else None
        try:
            yield
        finally:
            self._places = None

    def _gather(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._places is None:
            return None
        states: Tensor = arguments[0]  # [B, T, D]
        self._shape = tuple(states.shape)
        return (states.flatten(0, 1)[self._places][None], *arguments[1:])

    def _scatter(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self._places is None:
            return None
        B, T, D = self._shape
        return output.new_zeros(B * T, D).index_copy(0, self._places, output[0]).view(B, T, D)


def _feed_forward(model: nn.Module) -> nn.Module | None:
    layers = getattr(decoder(model), "layers", None)
    part = getattr(layers[-1], "mlp", None) if isinstance(layers, nn.ModuleList) and len(layers) else None
    return part if isinstance(part, nn.Module) else None


@torch.no_grad()
def _is_per_token(model: nn.Module, part: LastFeedForward) -> bool:
    """Whether states at some places are the same when only those are computed."""
    was_training = model.training
    model.eval()
    parameter = next(model.parameters())
    width = input_embeddings(model).embedding_dim
    probe = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(0)).to(parameter.device, parameter.dtype)
    places = torch.tensor([1, 4, 7], device=parameter.device)
    try:
        whole = decoder(model)(inputs_embeds=probe, use_cache=False).last_hidden_state
        with part.only(places):
            some = decoder(model)(inputs_embeds=probe, use_cache=False).last_hidden_state
    except (RuntimeError, ValueError, TypeError):
        return False
    finally:
        model.train(was_training)
    tolerance = 1e-4 if parameter.dtype == torch.float32 else 5e-2
    found, expected = some.flatten(0, 1)[places].float(), whole.flatten(0, 1)[places].float()
    return torch.allclose(found, expected, atol=tolerance, rtol=tolerance)
