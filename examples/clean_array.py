"""Clean a whole recording: python examples/clean_array.py [NOISY.wav CLEAN.wav]."""

import sys

import soundfile

import resonance
from resonance.assets import DEMO

source, target = sys.argv[1:] or (DEMO, "clean.wav")
noisy, samplerate = soundfile.read(source)
cleaned = resonance.clean(noisy, samplerate)  # same shape, nothing moves
soundfile.write(target, cleaned, samplerate)
print(f"{target}: {len(cleaned) / samplerate:.1f} s, peak {abs(cleaned).max():.2f}")
