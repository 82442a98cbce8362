"""How many rows one forward pass may hold: as many as fit into a share of the memory that is free."""

from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import torch
from torch import Tensor

_SHARE = 0.4
"""Of the free memory. What a pass keeps for its gradients is counted; what it needs for moments only is not."""
_GROUP_LIMIT, _GROUP_USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def kept_bytes(loss: Callable[[], Tensor], weights: Iterable[Tensor]) -> int:
    """Memory that a forward pass keeps until its gradients are computed: all tensors but the weights.

    Args:
        loss: Makes a loss that has gradients, which are not computed.
        weights: What is there anyway.
    """
    there = {weight.untyped_storage().data_ptr() for weight in weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = loss()  # as long as it lives, no two of its tensors share an address
    total = sum(kept.values())
    del held
    return total


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken on a device; on a CPU within the limit of the process's control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available, in_group = int(psutil.virtual_memory().available), _left_in_group()
    return available if in_group is None else min(available, in_group)


def _left_in_group() -> int | None:
    try:
        limit, used = (path.read_text(encoding="ascii").strip() for path in (_GROUP_LIMIT, _GROUP_USED))
    except OSError:  # no such groups, or no limit to read
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def rows_that_fit(row_bytes: int, *, free: int, batch_size: int) -> int:
    """How many rows of a step one forward pass takes, in parts as equal as can be.

    Args:
        row_bytes: What the longest row keeps, > 0.
        free: Bytes that are free.
        batch_size: Rows of a step.
    """
    most = min(batch_size, max(1, int(_SHARE * free) // max(1, row_bytes)))
    parts = -(-batch_size // most)
    return -(-batch_size // parts)
