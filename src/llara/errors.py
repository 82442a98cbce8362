"""The exception tree. Every message says what was expected, what was found and where, and what to do next."""


class LlaraError(Exception):
    """Base of all errors that a user can cause and mend; the command line turns it into exit code 2."""


class ConfigError(LlaraError):
    """A setting is unknown, out of range, or does not fit another setting."""


class DataError(LlaraError):
    """A dataset folder, an input file, an item or a user is missing or malformed."""


class PromptError(LlaraError):
    """A prompt cannot be built or encoded from its template and items."""


class CheckpointError(LlaraError):
    """A run folder, adapter, projector or recommender on disk is missing, incomplete or does not fit."""


class DivergenceError(LlaraError):
    """Training left the finite numbers: a loss, a gradient or a weight is NaN or infinite.

    Args:
        what: What was found, such as "the loss is nan".
        where: When it was found, such as "step 12 of 100" or "epoch 3".
        remedy: What to lower, and what is kept.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        super().__init__(f"training diverged at {where}: {what}. {remedy}")
        self.what = what
        self.where = where
