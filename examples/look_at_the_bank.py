"""What damped oscillators do to a tone: python examples/look_at_the_bank.py."""

import numpy as np

from resonance import OscillatorBank

samplerate = 16000
bank = OscillatorBank(f0_hz=[220.0, 440.0, 880.0], damping_ratio=[0.02, 0.02, 0.02])
tone = np.sin(2 * np.pi * 440.0 * np.arange(samplerate) / samplerate)

poles = bank.poles(samplerate)  # λ [oscillators]
z = np.zeros(len(bank), complex)
for sample in tone:
    z = poles * z + sample  # one damped, driven oscillator each: x'' + 2γx' + ω0²x = F

for f0_hz, ring_s, amplitude in zip(bank.f0_hz, bank.ring_time_s, np.abs(z), strict=True):
    print(f"{f0_hz:5.0f} Hz  rings for {1000 * ring_s:4.0f} ms  |z| = {amplitude:6.1f}")
response = bank.transfer_function(np.array([440.0]), samplerate)  # [frequencies, oscillators]
print(f"the one at 440 Hz should reach about {abs(response[0, 1]):.1f}")
