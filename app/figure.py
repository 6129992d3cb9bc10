"""The resonogram: how loud every oscillator rang over time, before and after cleaning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.app.errors import UserError, WrongUsage
from resonance.app.onnx_models import DenoiserModel
from resonance.app.safe_write import written_whole
from resonance.app.spotter import KeywordEvent
from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import OscillatorBank
from resonance.dsp.stream import BankStream

#: A picture shows at most this much, s.
LONGEST_S = 600.0
#: Columns of the picture at most.
COLUMNS = 1600
RANGE_DB = (-75.0, -15.0)
#: What pictures can be written as.
FORMATS = (".png", ".svg", ".pdf")


def check_drawable(path: Path) -> None:
    """Raise :class:`UserError` if :meth:`ResonogramFigure.save` could not draw ``path`` later."""
    _pyplot(path)


class ResonogramFigure:
    """Gathers the amplitudes of the carrying oscillators, before and after cleaning."""

    def __init__(self, model: DenoiserModel, samplerate: float) -> None:
        carriers = model.carriers
        self.bank = OscillatorBank(model.bank.f0_hz[carriers], model.bank.damping_ratio[carriers])
        self.hop_s = model.hop_s
        self._streams = [BankStream(self.bank, samplerate, model.hop_s) for _ in range(2)]
        self._powers: tuple[list[Float32Array], list[Float32Array]] = ([], [])

    def add(self, before: Float32Array, after: Float32Array) -> None:
        """A block of the sound and the same block cleaned, each [samples, channels]."""
        for stream, powers, block in zip(self._streams, self._powers, (before, after), strict=True):
            if len(powers) * self.hop_s < LONGEST_S:
                _listen(stream, powers, np.ascontiguousarray(block[:, 0]))

    def levels_db(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Levels before and after [oscillators, hops], dBFS."""
        before, after = (
            10 * np.log10(np.array(powers, dtype=np.float32).reshape(-1, len(self.bank)).T + 1e-12)
            for powers in self._powers
        )
        return before, after

    def save(
        self, path: Path, events: Sequence[KeywordEvent], title: str, *, overwrite: bool = False
    ) -> None:
        """Draw both, one above the other, with the keywords marked; format by the file's name.

        Parameters
        ----------
        path
            Picture; its ending chooses the format (PNG, SVG, PDF).
        events
            Keywords to mark.
        title
            Above the picture.
        overwrite
            Whether a file at ``path`` may be replaced.

        Raises
        ------
        UserError
            If matplotlib is missing, the file cannot be written, or there is one that may not be
            replaced.
        """
        pyplot = _pyplot(path)
        levels = self.levels_db()
        figure, axes = pyplot.subplots(
            2, 1, figsize=(12, 7), sharex=True, sharey=True, layout="constrained"
        )
        for axis, level, name in zip(axes, levels, ("input", "cleaned"), strict=True):
            image = self._draw(axis, level, name)
            for event in events:
                _mark(axis, event)
        axes[1].set_xlabel("time / s")
        figure.suptitle(title, parse_math=False)
        figure.colorbar(image, ax=axes, label="oscillator amplitude / dBFS", pad=0.01)
        try:
            _save(figure, path, overwrite)
        except FileExistsError as error:
            raise UserError(f"{path} exists; choose another name, or allow overwriting") from error
        except OSError as error:
            raise UserError(f"cannot write the picture {path}: {error}") from error
        finally:
            pyplot.close(figure)

    def _draw(self, axis: Any, level_db: NDArray[np.float32], name: str) -> Any:
        shown = _thinned(level_db)
        length_s = level_db.shape[1] * self.hop_s
        image = axis.imshow(
            shown,
            origin="lower",
            aspect="auto",
            cmap="magma",
            interpolation="nearest",
            extent=(0.0, max(length_s, self.hop_s), -0.5, len(self.bank) - 0.5),
            vmin=RANGE_DB[0],
            vmax=RANGE_DB[1],
        )
        wanted_hz = np.array([100, 200, 500, 1000, 2000, 4000, 7000])
        axis.set_yticks(np.interp(wanted_hz, self.bank.f0_hz, np.arange(len(self.bank))), wanted_hz)
        axis.set_ylabel(f"{name}\noscillator f0 / Hz")
        return image


def _pyplot(path: Path) -> Any:
    """Matplotlib's drawing module, once it is sure that ``path`` can be drawn."""
    if path.suffix.lower() not in FORMATS:
        raise WrongUsage(f"cannot draw {path}: its name must end in one of {' '.join(FORMATS)}")
    try:
        import matplotlib
    except ImportError:
        raise UserError(
            "pictures need matplotlib; in the source folder: pip install '.[figures]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path, overwrite: bool) -> None:
    with (
        written_whole(path, overwrite=overwrite) as part,
        os.fdopen(os.dup(part.descriptor), "wb") as file,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # letters the font lacks
        figure.savefig(file, dpi=110, format=path.suffix[1:].lower())


def _listen(stream: BankStream, powers: list[Float32Array], sound: Float32Array) -> None:
    start = 0
    while start < len(sound):
        stop = min(len(sound), start + stream.samples_left)
        stream.listen(sound[start:stop])
        if stream.samples_left == 0:
            powers.append(stream.power())
            stream.next_part()
        start = stop


def _thinned(level_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most COLUMNS columns, each the loudest of those it replaces."""
    step = -(-level_db.shape[1] // COLUMNS)
    if step <= 1:
        return level_db
    padding = -level_db.shape[1] % step
    padded = np.pad(level_db, ((0, 0), (0, padding)), mode="edge")
    return np.asarray(padded.reshape(len(level_db), -1, step).max(axis=2))


def _mark(axis: Any, event: KeywordEvent) -> None:
    axis.axvline(event.time_s, color="white", linewidth=0.8, alpha=0.7)
    axis.annotate(
        event.keyword,
        (event.time_s, 0.97),
        xycoords=("data", "axes fraction"),
        color="black",
        fontsize=9,
        ha="center",
        va="top",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"},
    )
