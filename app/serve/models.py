"""Models that all clients of a server use."""

from __future__ import annotations

import functools

from resonance.app.custom_words import CustomWord
from resonance.app.enrolment import load_all
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.app.serve.pcm import Format
from resonance.app.spotter import Sensitivity


class Models:
    """Loaded once; each stream gets a pipeline of its own.

    Parameters
    ----------
    preset
        Denoiser of streams that ask for none.
    limit_db
        Largest attenuation of streams that ask for none.
    sensitivity
        When a keyword counts as heard.

    Raises
    ------
    UserError
        If a model is missing, or ``sensitivity`` names a word that there is not.
    """

    def __init__(self, preset: str, limit_db: float | None, sensitivity: Sensitivity) -> None:
        self.preset, self.limit_db, self.sensitivity = preset, limit_db, sensitivity
        self.spotter = SpotterModel()
        self._denoiser = functools.cache(DenoiserModel.preset)
        sensitivity.thresholds(self.spotter, self.custom())
        self.pipeline(Format(16000), denoise=True, spot=True)  # the first one is the slowest

    def custom(self) -> list[CustomWord]:
        """Words learnt from recordings, as they are now."""
        return load_all(self.spotter)

    def words(self) -> list[str]:
        """Every word that is listened for now."""
        return [*self.spotter.words, *(word.word for word in self.custom())]

    def pipeline(
        self,
        form: Format,
        *,
        denoise: bool,
        spot: bool,
        preset: str | None = None,
        limit_db: float | None = None,
    ) -> Pipeline:
        """A pipeline at rest.

        Raises
        ------
        UserError
            If preset or limit make no sense.
        """
        return Pipeline(
            form.samplerate,
            form.channels,
            denoiser=self._denoiser(preset or self.preset) if denoise else None,
            spotter=self.spotter if spot else None,
            limit_db=self.limit_db if limit_db is None else limit_db,
            sensitivity=self.sensitivity,
            custom=self.custom() if spot else (),
        )
