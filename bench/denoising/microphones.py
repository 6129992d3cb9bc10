"""Microphones with faults of their own: ``python -m bench.denoising.microphones --data DIR``.

Wind, an offset, hum, lost packets or a moved level are no noise of the room. Each mixture is
cleaned as it was, and once more with each fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt, sosfiltfilt
from tqdm import tqdm

from bench.denoising.levels import mixtures
from bench.denoising.quality import Settings
from bench.denoising.scores import Sound, sdr_db
from bench.report import table, write_section
from resonance.models.data import SAMPLERATE
from resonance.models.mixing import hum, rms, speech_rms
from resonance.models.options import DATA, WORK

#: Scores count what is above this: nobody hears what is left of wind.
LOWEST_HZ = 90
#: When the level moves, s, by how much, and from when on that counts.
MOVED_S, MOVED_DB, SETTLED_S = 2.0, 30.0, 2.1
#: Length of a packet, s, and the share that is lost.
PACKET_S, LOST = 0.02, 0.06

#: Noisy and clean sound [samples] with a fault, and which samples count.
Faulty = tuple[Sound, Sound, slice | NDArray[np.bool_]]
Fault = Callable[[Sound, Sound], Faulty]
ALL = slice(None)


def added(made: Callable[[int], Sound], above_db: float) -> Fault:
    """A sound of RMS 1, ``above_db`` above the speech."""

    def fault(noisy: Sound, clean: Sound) -> Faulty:
        level = np.float32(10 ** (above_db / 20) * speech_rms(clean))
        return noisy + level * made(len(noisy)), clean, ALL

    return fault


def wind(length: int) -> Sound:
    """Noise between 5 and 40 Hz; above 90 Hz 30 dB are left of it at most."""
    band = butter(6, (5, 40), "bandpass", fs=SAMPLERATE, output="sos")
    sound = sosfilt(band, np.random.default_rng(1).standard_normal(length))
    return np.asarray(sound / rms(sound), np.float32)


def tone(hz: float) -> Callable[[int], Sound]:
    """A pure one."""
    return lambda length: np.asarray(
        np.sqrt(2) * np.sin(2 * np.pi * hz / SAMPLERATE * np.arange(length)), np.float32
    )


def telephone(noisy: Sound, clean: Sound) -> Faulty:
    """Nothing above 3.4 kHz."""
    band = butter(8, 3400, fs=SAMPLERATE, output="sos")
    low, target = (sosfilt(band, sound).astype(np.float32) for sound in (noisy, clean))
    return low, target, ALL


def clipped(noisy: Sound, clean: Sound) -> Faulty:
    """At a third of the peak."""
    limit = np.abs(noisy).max() / 3
    return noisy.clip(-limit, limit), clean, ALL


def moved(by_db: float) -> Fault:
    """Louder or quieter from some moment on; what follows 0.1 s later counts."""

    def fault(noisy: Sound, clean: Sound) -> Faulty:
        at, gain = round(MOVED_S * SAMPLERATE), np.ones(len(noisy), np.float32)
        quieter = slice(at) if by_db > 0 else slice(at, None)
        gain[quieter] = 10 ** (-abs(by_db) / 20)
        return noisy * gain, clean * gain, slice(round(SETTLED_S * SAMPLERATE), None)

    return fault


def packets_lost(noisy: Sound, clean: Sound) -> Faulty:
    """Some are silence; the others count."""
    size = round(PACKET_S * SAMPLERATE)
    lost = np.random.default_rng(2).random(len(noisy) // size + 1) < LOST
    there = ~np.repeat(lost, size)[: len(noisy)]
    return noisy * there, clean, there


FAULTS: dict[str, Fault] = {
    "as recorded": lambda noisy, clean: (noisy, clean, ALL),
    "offset as high as speech": added(lambda n: np.ones(n, np.float32), 0.0),
    "offset, 10 dB above it": added(lambda n: np.ones(n, np.float32), 10.0),
    "wind, 5 to 40 Hz, 10 dB above": added(wind, 10.0),
    "engine, 25 Hz, 10 dB above": added(tone(25.0), 10.0),
    "mains hum, as high as speech": added(lambda n: hum(np.random.default_rng(3), n), 0.0),
    "whistle, 7.6 kHz, as high as speech": added(tone(7600.0), 0.0),
    "nothing above 3.4 kHz": telephone,
    "clipped at a third of the peak": clipped,
    f"{MOVED_DB:g} dB louder after {MOVED_S:g} s": moved(MOVED_DB),
    f"{MOVED_DB:g} dB quieter after {MOVED_S:g} s": moved(-MOVED_DB),
    f"{100 * LOST:g} % of packets of {1000 * PACKET_S:g} ms lost": packets_lost,
}


def heard(sound: Sound) -> Sound:
    """Without what lies below speech, nothing delayed."""
    above = butter(4, LOWEST_HZ, "highpass", fs=SAMPLERATE, output="sos")
    return np.asarray(sosfiltfilt(above, sound), np.float32)


def _score(outputs: Sequence[Sound], faulty: Sequence[Faulty]) -> float:
    """Mean SI-SDR, dB."""
    pairs = zip(outputs, faulty, strict=True)
    return float(
        np.mean([sdr_db(heard(out)[part], heard(clean)[part]) for out, (_, clean, part) in pairs])
    )


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option("--preset", "presets", multiple=True, default=("live", "call", "studio"))
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path), help="Other files of ours."
)
@click.option(
    "--peer", "files", multiple=True, metavar="NAME=FILE", help="As in bench.denoising.quality."
)
@click.option("--packaged/--no-packaged", default=True, help="Peers that are installed.")
@click.option("--count", default=20, help="Mixtures.")
@click.option("--write/--no-write", default=True, help="Into docs/benchmarks.md, or only print.")
def main(
    data: Path,
    work: Path,
    presets: tuple[str, ...],
    models: tuple[Path, ...],
    files: tuple[str, ...],
    packaged: bool,
    count: int,
    write: bool,
) -> None:
    """Measure; write the section "microphones" of docs/benchmarks.md."""
    pairs = mixtures(data, work, count)
    systems = Settings(data, work, presets, models, packaged, files, None).systems()
    rows = []
    for name, fault in tqdm(FAULTS.items()):
        faulty = [fault(*pair) for pair in pairs]
        cells = [_score([noisy for noisy, *_ in faulty], faulty)]
        cells += [_score([s.start()(noisy) for noisy, *_ in faulty], faulty) for s in systems]
        rows.append((name, *(f"{cell:.2f}" for cell in cells)))
    header = ("SI-SDR / dB", "noisy", *(system.name for system in systems))
    text = table(header, rows)
    if not write:
        print(text)
        return
    write_section(
        "microphones",
        f"## Faulty microphones\n\n{count} dev mixtures at −5 to 15 dB, as they are and with a "
        "fault of the microphone or the line; ours learned with rumble, tones and levels that "
        f"move. What lies below {LOWEST_HZ} Hz does not count "
        f"(`python -m bench.denoising.microphones --data DIR --peer GTCRN=FILE …`).\n\n{text}",
    )


if __name__ == "__main__":
    main()
