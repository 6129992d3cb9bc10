"""The command line: ``python -m resonance COMMAND``."""

from resonance.app.cli import main

main(prog_name="resonance")
