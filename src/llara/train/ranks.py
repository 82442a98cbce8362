"""Processes that train one model: what they agree on, once per step, however the rows are shared out.

Gradients are summed here, after the last micro-batch, instead of by hooks inside the backward pass. So a process may
have more micro-batches than another or no row at all, and an objective may leave weights untrained: none of that
changes which messages are sent.
"""

import torch
from accelerate import Accelerator
from torch import distributed, nn


class Ranks:
    """The processes of a training run, of which this one is `rank`; alone, every method does nothing.

    Every process must call the same methods in the same order, with weights of the same names and shapes.

    Args:
        accelerator: Knows how many there are and has connected them.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self._device: torch.device = accelerator.device

    @torch.no_grad()
    def take_weights(self, model: nn.Module) -> None:
        """Give every process the main one's weights and buffers, trained or not."""
        if self.world == 1:
            return
        for tensor in [*model.parameters(), *model.buffers()]:
            sent = tensor.detach().contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)

    @torch.no_grad()
    def sum_gradients(self, loss: float, parameters: list[nn.Parameter]) -> float:
        """Sum loss and gradients over the processes; returns the loss.

        A parameter that no process has a gradient for keeps none, so that optimizers pass it over as they do alone.
        """
        if self.world == 1:
            return loss
        has_gradient = [float(parameter.grad is not None) for parameter in parameters]
        sums = torch.tensor([loss, *has_gradient], device=self._device)
        distributed.all_reduce(sums)
        loss, *holders = sums.tolist()
        for parameter, count in zip(parameters, holders, strict=True):
            if count == 0:
                continue
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
            distributed.all_reduce(gradient)
            parameter.grad = gradient
        return loss

    def main_says(self, value: float) -> float:
        """The main process's value, for what all must decide alike."""
        if self.world == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64).to(self._device)
        distributed.broadcast(said, src=0)
        return float(said)
