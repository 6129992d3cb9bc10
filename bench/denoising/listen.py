"""Before and after, to hear: ``python -m bench.denoising.listen`` writes ``docs/listen/``.

Two words of the demo recording as MP3 files, noisy and cleaned, and a short film of both with what
the oscillators do. The film needs ffmpeg.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile

import resonance
from bench.report import DOCS
from resonance.app.figure import RANGE_DB, ResonogramFigure
from resonance.app.onnx_models import DenoiserModel
from resonance.assets import DEMO

FOLDER = DOCS / "listen"
#: Of the demo recording that is heard, s.
SECONDS = 8.6
#: The preset in the film.
FILMED = "call"
#: Of the film's pictures, pixels; left edge and width of the axes, parts of that.
WIDTH, HEIGHT, LEFT, WIDE = 1280, 720, 0.06, 0.92
#: Of the film, a second.
FRAMES = 12


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    noisy, samplerate = soundfile.read(DEMO, dtype="float32", frames=round(SECONDS * 22050))
    sounds = {"before": noisy} | {
        f"after-{preset}": resonance.clean(noisy, samplerate, preset=preset)
        for preset in ("live", FILMED, "studio")
    }
    for name, sound in sounds.items():
        soundfile.write(FOLDER / f"{name}.mp3", sound, samplerate)
    with tempfile.TemporaryDirectory() as folder:
        picture, both = Path(folder) / "picture.png", Path(folder) / "both.wav"
        after = sounds[f"after-{FILMED}"]
        draw(picture, sounds["before"], after, samplerate)
        soundfile.write(both, np.append(sounds["before"], after), samplerate)
        film(picture, both, len(noisy) / samplerate, FOLDER / "film.mp4")


def draw(path: Path, before: np.ndarray, after: np.ndarray, samplerate: int) -> None:
    """The oscillators' levels, noisy above, cleaned below.

    Parameters
    ----------
    path
        Of the picture.
    before, after
        Noisy and cleaned sound [samples].
    samplerate
        Of both, Hz.
    """
    gathered = ResonogramFigure(DenoiserModel.preset(FILMED), samplerate)
    gathered.add(before[:, None], after[:, None])
    seconds = len(before) / samplerate
    with plt.style.context("dark_background"):
        figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
        for levels, bottom, title in zip(
            gathered.levels_db(), (0.55, 0.07), ("before", "after"), strict=True
        ):
            axes = figure.add_axes((LEFT, bottom, WIDE, 0.38))
            low, high = RANGE_DB
            axes.imshow(
                levels,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=low,
                vmax=high,
                extent=(0, seconds, 0, len(levels)),
            )
            hz = gathered.bank.f0_hz
            places = np.searchsorted(hz, (100, 300, 1000, 3000))
            axes.set_yticks(places, ("100 Hz", "300 Hz", "1 kHz", "3 kHz"), fontsize=8)
            axes.set_title(title, fontsize=13, loc="left")
        figure.savefig(path)
        plt.close(figure)


def film(picture: Path, sound: Path, seconds: float, target: Path) -> None:
    """The picture with a line where the sound is: first above, then below.

    Parameters
    ----------
    picture, sound
        Files to show and to play.
    seconds
        Length of either sound.
    target
        The film.
    """
    line = f"color=white:s=2x{round(0.38 * HEIGHT)}:r={FRAMES}[line]"
    x = f"{LEFT * WIDTH}+mod(t,{seconds})*{WIDE * WIDTH / seconds}"
    y = f"if(lt(t,{seconds}),{0.07 * HEIGHT},{0.55 * HEIGHT})"
    command = ["ffmpeg", "-y", "-v", "error", "-loop", "1", "-framerate", str(FRAMES)]
    command += ["-i", str(picture), "-i", str(sound)]
    command += ["-filter_complex", f"{line};[0][line]overlay=x='{x}':y='{y}'[film]"]
    command += ["-map", "[film]", "-map", "1:a", "-t", str(2 * seconds)]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"]
    command += ["-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart", str(target)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
