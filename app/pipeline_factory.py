"""Pipelines of one process share their models: each is loaded once, when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from resonance.app.custom_words import CustomWord
from resonance.app.live.settings import EngineSettings
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.app.presets import LIVE_PRESET
from resonance.app.spotter import Sensitivity
from resonance.app.stretch_pipeline import StretchPipeline

P = TypeVar("P", bound=Pipeline)


class PipelineFactory:
    """Makes every pipeline of a program; nothing else loads its models."""

    def __init__(self) -> None:
        self._denoisers: dict[str, DenoiserModel] = {}
        self._spotter: SpotterModel | None = None

    def denoiser(self, preset: str) -> DenoiserModel:
        """The model of a preset.

        Raises
        ------
        UserError
            If there is no such preset, or its files are damaged.
        """
        if preset not in self._denoisers:
            self._denoisers[preset] = DenoiserModel.preset(preset)
        return self._denoisers[preset]

    def spotter(self) -> SpotterModel:
        """The model that finds keywords."""
        if self._spotter is None:
            self._spotter = SpotterModel()
        return self._spotter

    def custom_words(self) -> list[CustomWord]:
        """The user's own words, as they are now."""
        from resonance.app.enrolment import load_all

        return load_all(self.spotter())

    def make(
        self,
        samplerate: float,
        channels: int = 1,
        *,
        kind: type[P],
        preset: str | None = None,
        spot: bool = False,
        limit_db: float | None = None,
        sensitivity: Sensitivity | None = None,
        custom: Sequence[CustomWord] = (),
    ) -> P:
        """A pipeline at rest.

        Parameters
        ----------
        samplerate
            Of the sound, Hz.
        channels
            Each is cleaned on its own.
        kind
            :class:`~resonance.app.pipeline.Pipeline`, or the one for long blocks.
        preset
            Denoiser; None: the sound is only searched for keywords.
        spot
            Find keywords.
        limit_db
            Largest attenuation, dB; None: no limit.
        sensitivity, custom
            When a keyword counts as found, and the user's own words; ignored without ``spot``.

        Returns
        -------
        Pipeline
            Of that kind.

        Raises
        ------
        UserError
            If a value makes no sense, or a model is missing.
        """
        return kind(
            samplerate,
            channels,
            denoiser=None if preset is None else self.denoiser(preset),
            spotter=self.spotter() if spot else None,
            limit_db=limit_db,
            sensitivity=sensitivity,
            custom=custom if spot else (),
        )

    def make_spotting(
        self,
        samplerate: float,
        channels: int = 1,
        *,
        fast: bool = False,
        sensitivity: Sensitivity | None = None,
        custom: Sequence[CustomWord] = (),
    ) -> Pipeline:
        """A pipeline at rest that finds keywords in recordings.

        Parameters
        ----------
        samplerate
            Of the sound, Hz.
        channels
            Listened to together.
        fast
            Do not clean the sound to listen to that, too.
        sensitivity, custom
            When a keyword counts as found, and the user's own words.

        Returns
        -------
        Pipeline
            For long blocks, unless it is to be fast.

        Raises
        ------
        UserError
            If a value makes no sense, or a model is missing.
        """
        return self.make(
            samplerate,
            channels,
            kind=Pipeline if fast else StretchPipeline,
            preset=None if fast else LIVE_PRESET,
            spot=True,
            sensitivity=sensitivity,
            custom=custom,
        )

    def make_live(self, samplerate: float, settings: EngineSettings, *, kind: type[P]) -> P:
        """A pipeline at rest for live sound.

        Parameters
        ----------
        samplerate
            Of the sound, Hz; one channel.
        settings
            Preset, limit, bypass and keywords.
        kind
            :class:`~resonance.app.pipeline.Pipeline`, or one with more to it.

        Returns
        -------
        Pipeline
            Of that kind.

        Raises
        ------
        UserError
            If a value makes no sense, or a model is missing.
        """
        pipeline = self.make(
            samplerate,
            kind=kind,
            preset=settings.preset,
            spot=settings.spot,
            limit_db=settings.limit_db,
            sensitivity=settings.sensitivity,
            custom=settings.custom,
        )
        pipeline.bypass = settings.bypass
        return pipeline
