"""Commands of ``resonance``, one file each."""
