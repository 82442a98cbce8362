"""Range checks of settings, with the key's full name in the message."""

from llara.errors import ConfigError


def require_at_least(minimum: int, prefix: str, **values: int) -> None:
    """Raise ConfigError unless each value is >= `minimum`; keys are named `prefix.key`."""
    for key, value in values.items():
        if value < minimum:
            raise ConfigError(f"{prefix}.{key} must be >= {minimum}, got {value}")


def require_share(key: str, value: float) -> None:
    """Raise ConfigError unless 0 <= value < 1."""
    if not 0.0 <= value < 1.0:
        raise ConfigError(f"{key} must be in [0, 1), got {value}")
