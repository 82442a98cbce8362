"""The application: settings, run folder, stages; everything that a command does, callable without a terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llara.run.facade import Run

__all__ = ["Run"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # On first use: the modules that check arguments must not wait for torch.
        if name == "Run":
            from llara.run.facade import Run  # noqa: PLC0415

            return Run
        raise AttributeError(f"module 'llara.run' has no attribute '{name}'")
