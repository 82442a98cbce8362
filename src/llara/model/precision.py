"""In which precision products are computed."""

import torch

from llara.recommender.device import is_multiplied_natively


def resolve_precision(
    precision: str, device: torch.device, *, compute_capability: tuple[int, int] | None = None
) -> torch.dtype:
    """The dtype of matrix products on a device.

    Args:
        precision: As in `BackboneConfig.precision`.
        device: Where the products run.
        compute_capability: Of an NVIDIA GPU; None: ask the device.
    """
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    native = is_multiplied_natively(torch.bfloat16, device, compute_capability=compute_capability)
    return torch.bfloat16 if native else torch.float32
