"""Where models live: one decision for recommenders and language models alike."""

import torch


def best_device() -> torch.device:
    """The GPU, where there is one: the device that `accelerate` trains on, of each process its own."""
    from accelerate import PartialState  # noqa: PLC0415 - slow to import

    return torch.device(PartialState().device)


def is_multiplied_natively(
    dtype: torch.dtype, device: torch.device, *, compute_capability: tuple[int, int] | None = None
) -> bool:
    """Whether a device has instructions of its own for products in bfloat16; emulated ones are slower than float32.

    Args:
        dtype: float32 is native everywhere.
        device: CPU or GPU; of other kinds nothing is known, so the answer is no.
        compute_capability: Of an NVIDIA GPU; None: ask the device. Before 8.0 (V100, T4) torch emulates bfloat16 and
            calls it supported all the same.
    """
    if dtype == torch.float32:
        return True
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    if device.type != "cuda":
        return False
    if compute_capability is None and torch.version.hip is not None:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return (compute_capability or torch.cuda.get_device_capability(device)) >= (8, 0)
