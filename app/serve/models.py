"""Models that all clients of a server use."""

from __future__ import annotations

from resonance.app.custom_words import CustomWord
from resonance.app.pipeline import Pipeline
from resonance.app.pipeline_factory import PipelineFactory
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
        When a keyword counts as detected.

    Raises
    ------
    UserError
        If a model is missing, or ``sensitivity`` names a word that there is not.
    """

    def __init__(self, preset: str, limit_db: float | None, sensitivity: Sensitivity) -> None:
        self.preset, self.limit_db, self.sensitivity = preset, limit_db, sensitivity
        self._factory = PipelineFactory()
        self.spotter = self._factory.spotter()
        sensitivity.thresholds(self.spotter, self.custom())
        self.pipeline(Format(16000), denoise=True, spot=True)  # the first one is the slowest

    def custom(self) -> list[CustomWord]:
        """Words learnt from recordings, as they are now."""
        return self._factory.custom_words()

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

        Parameters
        ----------
        form
            Samplerate and channels.
        denoise, spot
            What it does.
        preset
            Denoiser; None: the server's.
        limit_db
            Largest attenuation, dB; None: the server's.

        Returns
        -------
        Pipeline
            With models that all pipelines share.

        Raises
        ------
        UserError
            If preset or limit make no sense.
        """
        return self._factory.make(
            form.samplerate,
            form.channels,
            kind=Pipeline,
            preset=(preset or self.preset) if denoise else None,
            spot=spot,
            limit_db=self.limit_db if limit_db is None else limit_db,
            sensitivity=self.sensitivity,
            custom=self.custom() if spot else (),
        )
