"""The last layer's feed-forward part, computed only where its output is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class _Reading:
    """What one pass reads of one model's final states.

    Attributes:
        owner: Whose pass it is, so that a pass of another model within it is left alone.
        places: Ascending places in the states with batch and time as one dimension, [K].
        shape: Rows B and tokens T of the batch.
    """

    owner: "LastFeedForward"
    places: Tensor
    shape: tuple[int, int]


# Decoder layers of transformers call `self.mlp(states)`: no argument of a pass reaches that part. A context variable is
# an argument of the running thread (and task), so that passes in many threads at once do not see one another's places;
# transformers collects its hidden states in the same way (utils/output_capturing.py).
_READING: ContextVar[_Reading | None] = ContextVar("what the running pass reads of the final states", default=None)


class LastFeedForward:
    """Restricts the last layer's feed-forward part to the positions that are asked for.

    Only few of a prompt's final states are read: those that predict answers, and those of candidates. What the last
    layer adds to the others after its attention is never used: a twentieth of all work in a model of twelve layers, and
    a fifth in one of three. Hooks gather the positions before the part and put its output back, so that module names
    and saved files stay as they are. The hooks keep nothing between calls, and nothing outside of their thread.

    Args:
        decoder: What maps input embeddings to final states. If its last layer has no `mlp` that treats every token on
            its own, nothing is restricted.
        width: Width D of the embeddings.
        recomputes: Whether activations are computed again in the backward pass; then nothing is restricted either.
    """

    def __init__(self, decoder: nn.Module, *, width: int, recomputes: bool = False) -> None:
        part = feed_forward_of(decoder)
        self.is_active = part is not None and not recomputes
        if part is not None and self.is_active:
            part.register_forward_pre_hook(self._gather)
            part.register_forward_hook(self._scatter)
            self.is_active = _is_per_token(decoder, self, width)

    @contextmanager
    def only(self, places: Tensor, *, shape: tuple[int, int]) -> Iterator[None]:
        """Within the block, final states of this thread's passes mean something at these places only.

        Args:
            places: Ascending places in the states with batch and time as one dimension, [K].
            shape: Rows B and tokens T of the batch.
        """
        token = _READING.set(_Reading(self, places, shape) if self.is_active else None)
        try:
            yield
        finally:
            _READING.reset(token)

    def _mine(self) -> _Reading | None:
        reading = _READING.get()
        return reading if reading is not None and reading.owner is self else None

    def _gather(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        reading = self._mine()
        if reading is None:
            return None
        states: Tensor = arguments[0]  # [B, T, D]
        return (states.flatten(0, 1)[reading.places][None], *arguments[1:])

    def _scatter(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        reading = self._mine()
        if reading is None:
            return None
        (B, T), D = reading.shape, output.shape[-1]
        return output.new_zeros(B * T, D).index_copy(0, reading.places, output[0]).view(B, T, D)


def feed_forward_of(decoder: nn.Module) -> nn.Module | None:
    """The last layer's feed-forward part, where the architecture has one under the usual name."""
    layers = getattr(decoder, "layers", None)
    part = getattr(layers[-1], "mlp", None) if isinstance(layers, nn.ModuleList) and len(layers) else None
    return part if isinstance(part, nn.Module) else None


@torch.no_grad()
def _is_per_token(decoder: nn.Module, part: LastFeedForward, width: int) -> bool:
    """Whether states at some places are the same when only those are computed."""
    was_training = decoder.training
    decoder.eval()
    parameter = next(decoder.parameters())
    probe = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(0)).to(parameter.device, parameter.dtype)
    places = torch.tensor([1, 4, 7], device=parameter.device)
    try:
        whole = decoder(inputs_embeds=probe, use_cache=False).last_hidden_state
        with part.only(places, shape=(2, 5)):
            some = decoder(inputs_embeds=probe, use_cache=False).last_hidden_state
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):  # such as parts that give a tuple
        return False
    finally:
        decoder.train(was_training)
    tolerance = 1e-4 if parameter.dtype == torch.float32 else 5e-2
    found, expected = some.flatten(0, 1)[places].float(), whole.flatten(0, 1)[places].float()
    return torch.allclose(found, expected, atol=tolerance, rtol=tolerance)
