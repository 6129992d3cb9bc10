"""``resonance lab``."""

from resonance.app.later import program

lab = program(
    "lab",
    "resonance.lab.command",
    "Published oscillator systems, and what became of their claims (needs torch).",
    "lab",
)
