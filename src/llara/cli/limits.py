"""Limits that the libraries read from the environment when they start, so before torch is imported."""

import os

KERNEL_LIMITS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "16"}
"""oneDNN keeps 1,024 compiled kernels, one per shape, and prompts have many lengths: a gigabyte for nothing
(docs/experiments.md). The second is about torch's own references to the same kernels. Programs that `import llara` and
score on CPUs save the same by setting both before they import torch; llara itself never changes their environment."""


def limit_kernel_caches() -> None:
    """Set the limits for this process and its children, unless the user has set others."""
    for name, value in KERNEL_LIMITS.items():
        os.environ.setdefault(name, value)
