"""The three programs, as console scripts."""

import signal
import sys

from mtids import _mtids


def _run(name: str) -> int:
    # The programs have handlers of their own: the first signal ends the unit of work, the second the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _mtids.run(name, sys.argv)


def prep() -> int:
    """Runs `mtids-prep`."""
    return _run("mtids-prep")


def train() -> int:
    """Runs `mtids-train`."""
    return _run("mtids-train")


def audit() -> int:
    """Runs `mtids-audit`."""
    return _run("mtids-audit")
