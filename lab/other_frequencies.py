"""One equation, other frequencies: the sound's bank on a bearing, a heart and a radio carrier.

Only samplerate and f0 change. A bank whose f0 are scaled with the samplerate has the same poles:
to it, all three are the same kind of signal as sound.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import signal

from resonance.dsp.bank import OscillatorBank, broad_bank
from resonance.dsp.identity import TRAINING_SAMPLERATE
from resonance.lab.experiment import Run
from resonance.lab.report import Report, Row, Verdict, tally

SOURCE = "text 000"
#: Noisy repetitions of each example.
DRAWS = 20
Signal = NDArray[np.float64]

#: Vibration: samplerate, how often balls roll over the fault, the housing's resonance, Hz.
VIBRATION_HZ, FAULT_HZ, HOUSING_HZ = 20_000, 107.3, 3_200.0
#: Electrocardiogram: samplerate, Hz, and beats per minute.
HEART_HZ, BEATS = 250, 72.0
#: Radio: samplerate, carrier, shift of the two tones from it, Hz, and bits per second.
RADIO_HZ, CARRIER_HZ, SHIFT_HZ, BAUD = 2_400_000, 455_000.0, 5_000.0, 2_400


def moved(bank: OscillatorBank, samplerate: float) -> OscillatorBank:
    """The same bank for another kind of signal: f0 in proportion to the samplerate."""
    return OscillatorBank(bank.f0_hz * samplerate / TRAINING_SAMPLERATE, bank.damping_ratio)


def listen(x: Signal, bank: OscillatorBank, samplerate: float) -> Signal:
    """Amplitudes |z| of every oscillator [oscillators, samples]; 1 for a unit tone at its peak.

    Parameters
    ----------
    x
        Signal [samples].
    bank
        That is driven by it.
    samplerate
        Of the signal, Hz.

    Returns
    -------
    ndarray
        [oscillators, samples].
    """
    poles = bank.poles(samplerate)
    states = (signal.lfilter([1 - abs(pole)], [1, -pole], x) for pole in poles)
    return np.stack([2 * np.abs(z) for z in states])


def bearing(rng: np.random.Generator, seconds: float = 1.0) -> Signal:
    """A shaft's vibration, and a fault that strikes the housing 12 dB below it, in noise."""
    t = np.arange(int(seconds * VIBRATION_HZ)) / VIBRATION_HZ
    shaft = sum(np.sin(2 * np.pi * 29.95 * k * t + rng.uniform(0, 6.28)) / k for k in range(1, 6))
    strikes = np.zeros(len(t))
    at = np.arange(0.003, seconds, 1 / FAULT_HZ) * VIBRATION_HZ
    strikes[np.minimum(at.astype(int), len(t) - 1)] = rng.uniform(0.8, 1.2, len(at))
    ringing = np.exp(-t[:200] * 900) * np.sin(2 * np.pi * HOUSING_HZ * t[:200])
    struck = np.convolve(strikes, ringing)[: len(t)]
    struck *= 0.25 * np.std(shaft) / np.std(struck)
    return np.asarray(shaft + struck + 0.3 * np.std(shaft) * rng.standard_normal(len(t)))


def fault_hz(amplitude: Signal) -> tuple[float, Signal, Signal]:
    """How often an oscillator's amplitude [samples] pulses, and the spectrum that shows it."""
    spectrum = np.abs(
        np.fft.rfft((amplitude - amplitude.mean()) * np.hanning(len(amplitude)), 2**17)
    )
    hz = np.fft.rfftfreq(2**17, 1 / VIBRATION_HZ)
    inside = (hz > 40) & (hz < 400)
    # The fault repeats at its harmonics, so its own frequency is where three of them agree.
    shown, comb = hz[inside], np.zeros(int(inside.sum()))
    for k in (1, 2, 3):
        comb += np.log(np.interp(k * shown, hz, spectrum) + 1e-12)
    return float(shown[np.argmax(comb)]), hz.astype(np.float64), spectrum.astype(np.float64)


def heart(rng: np.random.Generator, seconds: float = 30.0) -> tuple[Signal, Signal]:
    """An electrocardiogram with drift, mains hum and noise, and when it beats, s."""
    t = np.arange(int(seconds * HEART_HZ)) / HEART_HZ
    beats = np.cumsum(60 / BEATS * (1 + 0.04 * rng.standard_normal(int(seconds * BEATS / 60))))
    x = np.zeros(len(t))
    waves = ((-0.18, 0.025, 0.15), (0.0, 0.01, 1.0), (-0.03, 0.01, -0.15), (0.25, 0.05, 0.3))
    for beat in beats:
        for late, width, height in waves:
            x += height * np.exp(-0.5 * ((t - beat - late) / width) ** 2)
    x += 0.5 * np.sin(2 * np.pi * 0.25 * t) + 0.2 * np.sin(2 * np.pi * 50 * t)
    return x + 0.1 * rng.standard_normal(len(t)), beats[beats < seconds - 0.1]


def found_beats(amplitude: Signal) -> Signal:
    """Peaks of the oscillator that answers to beats, s."""
    peaks, _ = signal.find_peaks(
        amplitude, height=0.5 * np.quantile(amplitude, 0.98), distance=0.4 * HEART_HZ
    )
    return np.asarray(peaks / HEART_HZ)


def radio(rng: np.random.Generator, bits: NDArray[np.int64], snr_db: float = -10.0) -> Signal:
    """Bits as two tones about a carrier, in noise.

    Parameters
    ----------
    rng
        Gives the noise.
    bits
        0 or 1 [bits].
    snr_db
        Of the tones in the noise.

    Returns
    -------
    ndarray
        [samples] at RADIO_HZ.
    """
    each = RADIO_HZ // BAUD
    hz = CARRIER_HZ + SHIFT_HZ * (2.0 * np.repeat(bits, each) - 1.0)
    tone = np.sin(2 * np.pi * np.cumsum(hz) / RADIO_HZ)
    noise = rng.standard_normal(len(tone)) * np.sqrt(0.5) * 10 ** (-snr_db / 20)
    return np.asarray(tone + noise)


def tone_pair() -> OscillatorBank:
    """Two oscillators at the tones, as wide as a bit is short."""
    f0_hz = np.array([CARRIER_HZ - SHIFT_HZ, CARRIER_HZ + SHIFT_HZ])
    return OscillatorBank(f0_hz, BAUD / 2 / f0_hz)


def read_bits(amplitudes: Signal) -> NDArray[np.int64]:
    """Which tone is louder at the end of each bit [bits]."""
    each = RADIO_HZ // BAUD
    ends = amplitudes[:, each - 1 :: each]
    return np.asarray((ends[1] > ends[0]).astype(int))


def run(run: Run) -> Report:
    """All three, a few times each."""
    bank = broad_bank()
    figure = Figure((13, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    rows = [_same_poles(bank)]
    rows.append(_bearing(run, bank, axes[:, 0]))
    rows.append(_heart(run, bank, axes[:, 1]))
    rows.append(_radio(run, axes[:, 2]))
    return Report(f"{tally(rows)}: one bank hears all three.", rows, NOTES, CAPTION, figure)


def _same_poles(bank: OscillatorBank) -> Row:
    own = bank.poles(TRAINING_SAMPLERATE)
    worst = max(
        float(np.abs(moved(bank, rate).poles(rate) - own).max())
        for rate in (VIBRATION_HZ, HEART_HZ, RADIO_HZ)
    )
    return Row(
        "One equation for every frequency: with f0 in proportion to the samplerate the poles are "
        "the same",
        SOURCE,
        "stated",
        f"largest difference {worst:.0e}",
        Verdict.HOLDS if worst < 1e-12 else Verdict.FAILS,
    )


def _nearest(bank: OscillatorBank, hz: float) -> int:
    return int(np.argmin(np.abs(bank.f0_hz - hz)))


def _bearing(run: Run, bank: OscillatorBank, axes: Any) -> Row:
    there = moved(bank, VIBRATION_HZ)

    def errors() -> list[list[float]]:
        found = []
        for seed in range(DRAWS):
            x = bearing(np.random.default_rng(seed))
            amplitudes = listen(x, there, VIBRATION_HZ)
            pulses = ((amplitudes - amplitudes.mean(1, keepdims=True)) ** 4).mean(
                1
            ) / amplitudes.var(1) ** 2
            best = int(np.argmax(pulses))
            found.append([fault_hz(amplitudes[best])[0], fault_hz(np.abs(x))[0]])
        return found

    found = np.array(run.measure("bearing", errors))
    right = (np.abs(found - FAULT_HZ) < 1.0).mean(0) * DRAWS
    x = bearing(np.random.default_rng(0))
    amplitudes = listen(x, there, VIBRATION_HZ)
    best = _nearest(there, HOUSING_HZ)
    _, hz, spectrum = fault_hz(amplitudes[best])
    _picture(axes[0], amplitudes, there, len(x) / VIBRATION_HZ, "bearing", 0.1)
    axes[1].plot(hz, spectrum / spectrum[(hz > 40) & (hz < 400)].max())
    axes[1].axvline(FAULT_HZ, color="C3", ls="--", lw=1, label="fault")
    axes[1].set(
        xlim=(0, 400), ylim=(0, 1.1), xlabel="Hz", ylabel=f"pulses at {there.f0_hz[best]:.0f} Hz"
    )
    axes[1].legend(frameon=False)
    return Row(
        "Vibration: how often a bearing's fault strikes, 12 dB below the shaft",
        "ours",
        "not measured",
        f"within 1 Hz in {right[0]:.0f} of {DRAWS}; from the signal's own envelope "
        f"in {right[1]:.0f}",
        Verdict.HOLDS if right[0] >= 0.95 * DRAWS else Verdict.FAILS,
    )


def _heart(run: Run, bank: OscillatorBank, axes: Any) -> Row:
    there = moved(bank, HEART_HZ)
    best = _nearest(there, 15.0)

    def errors() -> list[list[float]]:
        counts = []
        for seed in range(DRAWS):
            x, beats = heart(np.random.default_rng(seed))
            found = found_beats(listen(x, there, HEART_HZ)[best])
            near = [np.abs(found - beat).min() < 0.1 for beat in beats]
            counts.append([float(np.sum(near)), float(len(beats)), float(len(found))])
        return counts

    hit, beats_there, found_there = np.sum(run.measure("heart", errors), axis=0)
    x, _ = heart(np.random.default_rng(0))
    amplitudes = listen(x, there, HEART_HZ)
    _picture(axes[0], amplitudes, there, len(x) / HEART_HZ, "heartbeat", 10.0)
    t = np.arange(len(x)) / HEART_HZ
    axes[1].plot(t, x, color="0.6", lw=0.7, label="electrocardiogram")
    axes[1].plot(t, amplitudes[best] * 4, lw=1, label=f"oscillator at {there.f0_hz[best]:.0f} Hz")
    axes[1].plot(
        found_beats(amplitudes[best]),
        np.full(len(found_beats(amplitudes[best])), 1.9),
        "v",
        ms=4,
        color="C3",
    )
    axes[1].set(xlim=(0, 10), ylim=(-1, 2.8), xlabel="s")
    axes[1].legend(frameon=False, fontsize=8, ncols=2)
    good = hit / beats_there > 0.99 and found_there / beats_there < 1.01
    return Row(
        "Heartbeat: beats found in drift, hum and noise",
        "ours",
        "not measured",
        f"{hit:.0f} of {beats_there:.0f}, and {max(0, found_there - hit):.0f} that were none",
        Verdict.HOLDS if good else Verdict.FAILS,
    )


def _radio(run: Run, axes: Any) -> Row:
    pair = tone_pair()

    def wrong(snr_db: float) -> list[int]:
        errors = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            bits = rng.integers(0, 2, 200)
            errors.append(
                int((read_bits(listen(radio(rng, bits, snr_db), pair, RADIO_HZ)) != bits).sum())
            )
        return errors

    levels = (-20.0, -15.0, -10.0)
    errors = {db: sum(run.measure(f"radio {db:g}", partial(wrong, db))) for db in levels}
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, 12)
    x = radio(rng, bits)
    amplitudes = listen(x, pair, RADIO_HZ)
    near = OscillatorBank(np.linspace(435e3, 475e3, 40), BAUD / 2 / np.linspace(435e3, 475e3, 40))
    _picture(axes[0], listen(x, near, RADIO_HZ), near, len(x) / RADIO_HZ, "radio", 1.0)
    t = np.arange(len(x)) / RADIO_HZ * 1e3
    for amplitude, hz in zip(amplitudes, pair.f0_hz, strict=True):
        axes[1].plot(t, amplitude, lw=0.8, label=f"{hz / 1e3:g} kHz")
    for i, bit in enumerate(bits):
        axes[1].text((i + 0.5) / BAUD * 1e3, 1.05, str(bit), ha="center")
    axes[1].set(xlabel="ms", ylabel="amplitude", ylim=(0, 1.3))
    axes[1].legend(frameon=False, fontsize=8)
    shown = ", ".join(f"{count} of 1,000 at {db:g} dB" for db, count in errors.items())
    return Row(
        "Radio: bits of two tones at 455 kHz, wrongly read",
        "ours",
        "not measured",
        shown,
        Verdict.HOLDS if errors[-10.0] == 0 else Verdict.FAILS,
    )


def _picture(
    axes: Any, amplitudes: Signal, bank: OscillatorBank, seconds: float, name: str, shown: float
) -> None:
    level = 20 * np.log10(amplitudes[:, :: max(1, amplitudes.shape[1] // 2000)] + 1e-9)
    top = np.quantile(level, 0.999)
    t = np.linspace(0, seconds, level.shape[1])
    axes.pcolormesh(t, bank.f0_hz, level, vmin=top - 40, vmax=top, cmap="magma", rasterized=True)
    axes.set(title=name, xlabel="s", ylabel="f0 / Hz", xlim=(0, min(shown, seconds)))
    if name != "radio":
        axes.set_yscale("log")


CAPTION = (
    "Amplitudes of the same bank on a bearing, a heart and a radio signal (top), and what is read "
    "from one or two of its oscillators (bottom)."
)
NOTES = """\
All three signals are synthetic and are in `lab/other_frequencies.py`; the bank is the sound's
broad one, its f0 scaled with the samplerate (20 kHz, 250 Hz, 2.4 MHz; for the two tones of the
radio two oscillators as wide as a bit is short). Nothing is learned. This shows that the equation
does not care about the frequency, not that it beats what these fields use."""
