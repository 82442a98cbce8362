"""Where products run, and in which precision."""

import torch


def best_device() -> torch.device:
    """The GPU, where there is one: the device that `accelerate` trains on."""
    from accelerate import PartialState  # noqa: PLC0415 - slow to import

    return torch.device(PartialState().device)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products on a device."""
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if native and device.type in ("cuda", "cpu") else torch.float32
