"""Find the keywords of a recording: python examples/spot_keywords.py [RECORDING.wav]."""

import sys

import soundfile

import resonance
from resonance.assets import DEMO

sound, samplerate = soundfile.read(sys.argv[1] if sys.argv[1:] else DEMO)
for event in resonance.spot(sound, samplerate, false_accepts_per_hour=0.5):
    print(f"{event.time_s:6.2f} s  {event.keyword:<8} {event.score:.2f}")
