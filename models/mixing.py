"""Noisy sound made on the fly: speech, noise, rooms, levels, clipping and band limits.

A mixture is a function of (seed, index) alone, so that training resumes exactly and every run
of an evaluation meets the same sounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, sosfilt

from resonance.models.data import SAMPLERATE, AudioStore
from resonance.models.vowels import vowel

Sound = NDArray[np.float32]
FloatArray = NDArray[np.floating]
TINY = 1e-9


@dataclass(frozen=True)
class MixingRecipe:
    """How mixtures are drawn; probabilities are independent unless said otherwise."""

    seconds: float = 3.0
    snr_db: tuple[float, float] = (-5.0, 20.0)
    speech_dbfs: tuple[float, float] = (-70.0, -10.0)
    p_no_noise: float = 0.05
    p_no_speech: float = 0.04
    p_vowel: float = 0.03  #: synthetic vowels in white noise instead of speech
    p_synthetic_noise: float = 0.12
    p_babble: float = 0.08
    p_second_noise: float = 0.3
    p_room: float = 0.35
    p_pause: float = 0.3  #: the speech begins late
    p_band_limit: float = 0.1
    p_clip: float = 0.04
    p_speed: float = 0.5  #: recordings played up to 12 % (speech) or 25 % (noise) faster or slower
    p_colour: float = 0.5  #: recordings through another microphone's frequency response
    p_level_step: float = 0.15  #: from some moment on everything is up to 30 dB louder or quieter
    p_16_bit: float = 0.5  #: rounded as in a 16-bit file
    p_rumble: float = 0.15  #: with wind, an engine or a shaken desk below the speech, or an offset
    rumble_db: tuple[float, float] = (-20.0, 20.0)  #: its level above speech and noise
    p_whistle: float = 0.1  #: with a tone: a coil, a fan, beeps
    whistle_db: tuple[float, float] = (-20.0, 10.0)  #: its level above speech and noise


def rms(sound: Sound) -> float:
    """Root mean square of the samples."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)) + TINY**2))


def speech_rms(speech: Sound) -> float:
    """RMS over the frames (32 ms) within 30 dB of the loudest: pauses do not count."""
    frames = speech[: len(speech) // 512 * 512].reshape(-1, 512).astype(np.float64)
    power = np.mean(frames**2, axis=1) if len(frames) else np.array([np.mean(speech**2.0)])
    return float(np.sqrt(power[power >= power.max() * 1e-3].mean() + TINY**2))


def noise_scale(speech: Sound, noise: Sound, snr_db: float) -> np.float32:
    """What makes ``noise`` lie ``snr_db`` below the spoken parts of ``speech``.

    Parameters
    ----------
    speech, noise
        Sounds [samples].
    snr_db
        Wanted ratio, dB.

    Returns
    -------
    float32
        Factor for ``noise``.
    """
    return np.float32(speech_rms(speech) * 10 ** (-snr_db / 20) / rms(noise))


def _of_rms_1(sound: FloatArray) -> Sound:
    single = np.asarray(sound, np.float32)
    return single / np.float32(rms(single) + TINY)


def colored_noise(rng: np.random.Generator, length: int, tilt_db_per_octave: float) -> Sound:
    """Gaussian noise [samples] of RMS 1 whose spectrum falls by ``tilt_db_per_octave``.

    Parameters
    ----------
    rng
        Random numbers.
    length
        Samples.
    tilt_db_per_octave
        Fall of the spectrum.

    Returns
    -------
    array
        Noise [samples].
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLERATE), 20.0)
    spectrum *= (hz / 1000.0) ** (-tilt_db_per_octave / 6.02)
    sound = np.fft.irfft(spectrum, length)
    return _of_rms_1(sound)


def hum(rng: np.random.Generator, length: int) -> Sound:
    """Mains hum [samples] of RMS 1: 50 or 60 Hz and its overtones."""
    t = np.arange(length) / SAMPLERATE
    order = np.arange(1, 12)
    level = rng.uniform(0, 1, len(order)) / order
    phase = rng.uniform(0, 2 * np.pi, len(order))
    hz = rng.choice([50.0, 60.0])
    sound = (level[:, None] * np.sin(2 * np.pi * hz * order[:, None] * t + phase[:, None])).sum(0)
    return _of_rms_1(sound)


def rumble(rng: np.random.Generator, length: int) -> Sound:
    """What lies below speech [samples], of RMS 1: wind, an engine, a shaken desk, or an offset."""
    kind, hz = rng.random(), rng.uniform(10.0, 60.0)
    if kind < 0.2:
        sound = np.ones(length)
    elif kind < 0.4:
        turns = hz / SAMPLERATE * np.arange(length) + rng.random()
        sound = np.sin(2 * np.pi * turns)
    else:
        low = butter(2, hz, fs=SAMPLERATE, output="sos")
        gusts = butter(2, rng.uniform(0.3, 5.0), fs=SAMPLERATE, output="sos")
        sound = sosfilt(low, rng.standard_normal(length))
        if rng.random() < 0.5:
            sound *= sosfilt(gusts, rng.standard_normal(length))
    return _of_rms_1(sound)


def whistle(rng: np.random.Generator, length: int) -> Sound:
    """A tone [samples] of RMS 1 somewhere between 150 Hz and 7.9 kHz, or beeps."""
    hz = math.exp(rng.uniform(math.log(150.0), math.log(7900.0)))
    turns = hz / SAMPLERATE * np.arange(length) + rng.random()
    sound = np.sin(2 * np.pi * turns)
    if rng.random() < 0.4:
        period = int(rng.uniform(0.1, 1.5) * SAMPLERATE)
        sound *= (np.arange(length) + int(rng.integers(period))) % period < period / 2
    return _of_rms_1(sound)


def coloured(rng: np.random.Generator, sound: Sound, most_db: float) -> Sound:
    """The sound [samples] through a smooth random frequency response within ±``most_db``.

    Parameters
    ----------
    rng
        Random numbers.
    sound
        To be filtered [samples].
    most_db
        Largest gain or attenuation.

    Returns
    -------
    array
        Filtered sound [samples].
    """
    length = next_fast_len(len(sound), real=True)
    spectrum = rfft(sound, length)
    octaves = np.linspace(0, 7, 8)  # from 62.5 Hz to 8 kHz
    db = rng.uniform(-most_db, most_db, len(octaves))
    hz = np.linspace(0, SAMPLERATE / 2, len(spectrum))
    curve = np.interp(np.log2(np.maximum(hz, 1.0) / 62.5), octaves, db)
    shaped = irfft(spectrum * 10 ** (curve / 20), length)[: len(sound)]
    return np.asarray(shaped, dtype=np.float32)


class Mixer:
    """Draws pairs of noisy and clean sound.

    Parameters
    ----------
    speech, noise
        Where to draw from; of one split only.
    rooms
        Room impulse responses; may be empty.
    """

    def __init__(
        self,
        speech: AudioStore,
        noise: AudioStore,
        rooms: Sequence[Sound],
        recipe: MixingRecipe,
        seed: int,
    ) -> None:
        self.speech, self.noise, self.rooms = speech, noise, rooms
        self.recipe, self.seed = recipe, seed
        self.length = int(recipe.seconds * SAMPLERATE)

    def mixture(self, index: int) -> tuple[Sound, Sound]:
        """Noisy and clean sound number ``index``, both [samples]."""
        rng = np.random.default_rng((self.seed, index))
        recipe = self.recipe
        if rng.random() < recipe.p_vowel:
            clean, noise = self._vowels(rng)
        else:
            clean, noise = self._speech(rng), self._noise(rng)
        clean *= 10 ** (rng.uniform(*recipe.speech_dbfs) / 20) / max(speech_rms(clean), TINY)
        noise *= (
            speech_rms(clean) * 10 ** (-rng.uniform(*recipe.snr_db) / 20) / max(rms(noise), TINY)
        )
        fate = rng.random()
        if fate < recipe.p_no_noise:
            noise[:] = 0.0
        elif fate < recipe.p_no_noise + recipe.p_no_speech:
            clean[:] = 0.0
        return self._microphone(rng, clean, noise)

    def batch(self, index: int, size: int) -> tuple[Sound, Sound]:
        """Batch number ``index`` of ``size`` mixtures, noisy and clean, both [batch, samples]."""
        pairs = [self.mixture(index * size + i) for i in range(size)]
        return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])

    def _speech(self, rng: np.random.Generator) -> Sound:
        sound = np.zeros(self.length, np.float32)
        start = 0
        if rng.random() < self.recipe.p_pause:
            start = int(rng.uniform(0, 0.5) * self.length)
        while start < self.length:
            part = self._excerpt(rng, self.speech, self.length - start)
            if rng.random() < self.recipe.p_room and self.rooms:
                part = self._in_room(rng, part)
            sound[start : start + len(part)] = part
            start += len(part) + int(rng.uniform(0.1, 0.6) * SAMPLERATE)
        return sound

    def _noise(self, rng: np.random.Generator) -> Sound:
        kind = rng.random()
        if kind < self.recipe.p_synthetic_noise:
            sound = colored_noise(rng, self.length, rng.uniform(-3.0, 9.0))
            if rng.random() < 0.25:
                sound = sound + hum(rng, self.length) * np.float32(rng.uniform(0.3, 2.0))
        elif kind < self.recipe.p_synthetic_noise + self.recipe.p_babble:
            voices = [self._speech(rng) for _ in range(rng.integers(3, 7))]
            sound = np.sum([v / max(rms(v), TINY) for v in voices], axis=0)
        else:
            sound = self._recorded_noise(rng)
        if rng.random() < self.recipe.p_second_noise:
            second = self._recorded_noise(rng)
            balance = 10 ** (rng.uniform(-15, 0) / 20)
            sound = sound / max(rms(sound), TINY) + second * balance / max(rms(second), TINY)
        return np.asarray(sound, dtype=np.float32)

    def _recorded_noise(self, rng: np.random.Generator) -> Sound:
        sound = self._excerpt(rng, self.noise, self.length)
        while len(sound) < self.length:
            sound = np.concatenate(
                [sound, self._excerpt(rng, self.noise, self.length - len(sound))]
            )
        return sound if rms(sound) > 1e-5 else colored_noise(rng, self.length, 3.0)

    def _excerpt(self, rng: np.random.Generator, store: AudioStore, longest: int) -> Sound:
        """Part of a random recording [up to ``longest`` samples], varied in speed and colour."""
        index = int(rng.integers(len(store)))
        most_speed, most_db = (1.12, 4.0) if store is self.speech else (1.25, 8.0)
        speed = 1.0
        if rng.random() < self.recipe.p_speed:
            speed = float(most_speed ** rng.uniform(-1, 1))
        length = math.ceil(longest * speed)
        start = int(rng.integers(max(1, store.length(index) - length + 1)))
        part = store.get(index, start, start + length)
        if speed != 1.0:
            part = soxr.resample(part, SAMPLERATE * speed, SAMPLERATE, quality="QQ")[:longest]
        if rng.random() < self.recipe.p_colour and len(part) > 1:
            part = coloured(rng, part, most_db)
        return part

    def _in_room(self, rng: np.random.Generator, dry: Sound) -> Sound:
        room = self.rooms[int(rng.integers(len(self.rooms)))]
        return np.asarray(fftconvolve(dry, room)[: len(dry)], dtype=np.float32)

    def _vowels(self, rng: np.random.Generator) -> tuple[Sound, Sound]:
        parts: list[Sound] = []
        while sum(len(part) for part in parts) < self.length:
            parts.append(vowel(rng, int(rng.uniform(0.3, 1.0) * SAMPLERATE)))
        noise = rng.standard_normal(self.length).astype(np.float32)
        return np.concatenate(parts)[: self.length], noise

    def _microphone(
        self, rng: np.random.Generator, clean: Sound, noise: Sound
    ) -> tuple[Sound, Sound]:
        """What the microphone makes of it: limited band and level (both), all else the mixture."""
        recipe, noisy = self.recipe, clean + noise
        level = speech_rms(noisy)
        for probability, made, range_db in (
            (recipe.p_rumble, rumble, recipe.rumble_db),
            (recipe.p_whistle, whistle, recipe.whistle_db),
        ):
            if rng.random() < probability:
                above = np.float32(level * 10 ** (rng.uniform(*range_db) / 20))
                noisy = noisy + above * made(rng, self.length)
        if rng.random() < recipe.p_band_limit:
            sos = butter(4, rng.uniform(3300, 7000), fs=SAMPLERATE, output="sos")
            noisy, clean = sosfilt(sos, noisy), sosfilt(sos, clean)
        peak = float(np.max(np.abs(noisy))) + TINY
        if rng.random() < recipe.p_clip:
            peak *= 0.5
            noisy = np.clip(noisy, -peak, peak)
        if peak > 0.99:
            noisy, clean = noisy * (0.99 / peak), clean * (0.99 / peak)
        if rng.random() < recipe.p_level_step:
            gain = self._level_step(rng)
            noisy, clean = noisy * gain, clean * gain
        if rng.random() < recipe.p_16_bit:
            noisy = np.rint(noisy * 32768.0) / 32768.0
        return noisy.astype(np.float32), clean.astype(np.float32)

    def _level_step(self, rng: np.random.Generator) -> Sound:
        """1, then another gain within 20 ms [samples]; never above 1."""
        at = int(rng.uniform(0.05, 0.6) * self.length)
        step_db = np.zeros(self.length, np.float32)
        step_db[at:] = rng.uniform(-30, 30)
        width = int(0.02 * SAMPLERATE)
        step_db[at : at + width] *= np.linspace(0, 1, width, dtype=np.float32)
        return np.asarray(10 ** ((step_db - step_db.max()) / 20), np.float32)
