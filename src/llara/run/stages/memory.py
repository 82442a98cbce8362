"""Memory that this process has taken."""

import resource
import sys


def peak_bytes() -> int:
    """The most that it ever held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
