"""The command line: ``resonance COMMAND``, or ``python -m resonance COMMAND``."""

import signal
from typing import Any


def main() -> Any:
    """Run the command line."""
    # A service may be asked to save its sound while it still loads: that must not be its end.
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    from resonance.app.cli import main as command

    return command(prog_name="resonance")


if __name__ == "__main__":
    main()
