"""The streaming pipeline: blocks of any size in, cleaned blocks and keyword events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resonance.app.checks import LIMITS_DB, SAMPLERATES
from resonance.app.custom_words import CustomWord
from resonance.app.errors import UserError
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.spotter import KeywordEvent, Sensitivity, Spotter
from resonance.dsp.arrays import Float32Array
from resonance.dsp.hop_kernels import limit
from resonance.dsp.meters import FLOOR_DB
from resonance.dsp.stream import WHETHER, BankStream

Bank = TypeVar("Bank", bound=BankStream)


class Pipeline:
    """Denoise, spot keywords, or both; delayed by nothing but a model's declared look-ahead.

    Where both are done, keywords are heard twice: in the sound as it came and in the cleaned one,
    which a second bank listens to. With a bypass, once.

    :attr:`latency_samples` is that look-ahead; :attr:`limit_db` and :attr:`bypass` may be changed
    at any time and act without a click from the next part of a hop on; :attr:`voice` and
    :attr:`noise_dbfs` are read at every update. In digital silence, as from a muted microphone, the
    denoiser's network pauses: gains and noise level stay as they were, and nobody speaks. After a
    second of it the bank rests, too, and the output is 0.

    Parameters
    ----------
    samplerate
        Of the sound, Hz.
    channels
        Each is cleaned on its own; keywords are detected on all together.
    denoiser, spotter
        Models; None leaves that part out.
    limit_db
        Largest attenuation allowed, dB; None: no limit.
    sensitivity, custom
        When a keyword counts as detected, and words learnt from recordings.
    twice
        Whether to hear keywords in the cleaned sound, too.

    Raises
    ------
    UserError
        If the samplerate, the channels or the limit make no sense, or the models do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from resonance import DenoiserModel, Pipeline
    >>> pipeline = Pipeline(48000, denoiser=DenoiserModel.preset("live"))
    >>> pipeline.latency_samples
    0
    >>> hiss = 0.1 * np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    >>> cleaned = np.empty_like(hiss)
    >>> for start in range(0, len(hiss), 480):
    ...     part = slice(start, start + 480)
    ...     events = pipeline.process(hiss[part], cleaned[part])
    >>> bool(np.std(cleaned[24000:]) < 0.1 * np.std(hiss[24000:]))
    True
    """

    def __init__(
        self,
        samplerate: float,
        channels: int = 1,
        *,
        denoiser: DenoiserModel | None = None,
        spotter: SpotterModel | None = None,
        limit_db: float | None = None,
        sensitivity: Sensitivity | None = None,
        custom: Sequence[CustomWord] = (),
        twice: bool = True,
    ) -> None:
        _check(samplerate, channels, denoiser, spotter)
        self.samplerate, self.channels = samplerate, channels
        self.limit_db = limit_db
        self.bypass = False  #: play the sound as it came, through the same path
        self.bad_samples = 0  #: samples of input so far that were NaN, infinite or absurdly large
        #: Called at the end of each hop with the first channel's oscillators and the gains
        #: [oscillators] chosen for the next part (None while only listening), before it begins.
        self.on_hop: Callable[[BankStream, NDArray[np.complex64] | None], None] | None = None
        self.denoiser = denoiser
        self._prepare(channels, denoiser, spotter)
        #: What the model last chose for each channel [oscillators].
        self._last_gains = [self._no_change()] * channels
        #: With which share kept, and what came of it then.
        self._held: list[tuple[np.float32, NDArray[np.complex64]] | None] = [None] * channels
        self.latency_samples = self._streams[0].latency_samples
        self.spotter = None
        #: What listens to each channel's cleaned sound, to spot keywords.
        self._ears: list[BankStream] = []
        if spotter:
            twice = twice and denoiser is not None
            self.spotter = Spotter(spotter, sensitivity or Sensitivity(), custom, twice=twice)
            ears = channels if twice else 0
            self._ears = [make_stream(samplerate, None, spotter, BankStream) for _ in range(ears)]
        self._spotter_oscillators = len(spotter.bank) if spotter else 0

    def _prepare(
        self, channels: int, denoiser: DenoiserModel | None, spotter: SpotterModel | None
    ) -> None:
        """A bank and, to denoise, a run through the model for each channel."""
        self._runs = [denoiser.start() for _ in range(channels)] if denoiser else []
        self._streams = [
            make_stream(self.samplerate, denoiser, spotter, BankStream) for _ in range(channels)
        ]

    def _no_change(self) -> NDArray[np.complex64]:
        """Gains that leave the sound as it is [oscillators]."""
        return np.ones(self._streams[0].oscillators, np.complex64)

    @property
    def limit_db(self) -> float | None:
        """Largest attenuation allowed, dB; None: no limit. Raises UserError outside 0 … 200."""
        return self._limit_db

    @limit_db.setter
    def limit_db(self, limit_db: float | None) -> None:
        low, high = LIMITS_DB
        if limit_db is not None and not low <= limit_db <= high:
            raise UserError(
                f"limit_db {limit_db:g} must lie between {low} (nothing removed) and {high}"
            )
        self._limit_db = limit_db
        self._kept = np.float32(0.0 if limit_db is None else 10 ** (-limit_db / 20))

    @property
    def voice(self) -> float:
        """Probability that somebody spoke in the last update; the highest of the channels.

        0 in digital silence.
        """
        heard = zip(self._streams, self._runs, strict=False)  # no runs while only listening
        return max((0.0 if stream.paused else run.voice for stream, run in heard), default=0.0)

    @property
    def noise_dbfs(self) -> float:
        """Level of the noise around now, dB of full scale; the highest of the channels."""
        return max((run.noise_dbfs for run in self._runs), default=FLOOR_DB)

    @property
    def latency_s(self) -> float:
        """:attr:`latency_samples` in seconds."""
        return self.latency_samples / self.samplerate

    def reset(self) -> None:
        """As new."""
        for stream in (*self._streams, *self._ears):
            stream.reset()
        for state in self._runs:
            state.reset()
        self._last_gains = [self._no_change()] * self.channels
        if self.spotter:
            self.spotter.reset()
        self.bad_samples = 0

    def warm_up(self, sound: Float32Array) -> None:
        """Let the denoiser get used to ``sound``: nothing is output, and no keyword detected."""
        spotter, self.spotter = self.spotter, None
        try:
            self.process(sound, np.empty_like(sound) if self.denoiser else None)
        finally:
            self.spotter, self.bad_samples = spotter, 0

    def process(self, block: Float32Array, out: Float32Array | None = None) -> list[KeywordEvent]:
        """Process a block: the cleaned one goes into ``out``, keywords are returned.

        Parameters
        ----------
        block
            Sound, float32 [samples] or [samples, channels], any length.
        out
            Where the cleaned sound goes, of the same shape; may be ``block`` itself. Needed
            only when denoising.

        Returns
        -------
        The keywords detected in this block.
        """
        columns = self._columns(block, out)
        self._choose_sound_for_keywords()
        if self.dozing and not np.count_nonzero(columns):
            if out is not None:
                out[...] = 0.0
            return self._doze(columns.shape[1])
        events: list[KeywordEvent] = []
        start, length = 0, columns.shape[1]
        cleaned = np.empty(columns.shape, np.float32) if self.denoiser else None
        while start < length:
            stop = min(length, start + self._streams[0].hop_left)
            self._pass(columns[:, start:stop], cleaned, start)
            if self._streams[0].samples_left == 0:
                self._end_hop(events)
            start = stop
        if cleaned is not None and out is not None:
            out[...] = cleaned.T.reshape(out.shape)
        return events

    def _choose_sound_for_keywords(self) -> None:
        """Where nothing is removed, hearing twice would be hearing the same again."""
        if self.spotter and self._ears:
            self.spotter.twice = bool(self._kept_now < 1.0)

    @property
    def dozing(self) -> bool:
        """Whether silence goes on for so long that nothing is left of the last sound."""
        return all(stream.dozing for stream in (*self._streams, *self._ears))

    def _doze(self, silence: int) -> list[KeywordEvent]:
        """Pass over so many samples of silence."""
        events: list[KeywordEvent] = []
        while silence:
            for stream in (*self._streams, *self._ears):
                passed = stream.doze(silence)  # all alike
            silence -= passed
            if self._streams[0].samples_left == 0:
                self._end_hop(events)
        return events

    def _pass(self, piece: Float32Array, cleaned: Float32Array | None, start: int) -> None:
        """Pass a piece [channels, samples] of one hop through, and play it from ``start`` on."""
        for channel, stream in enumerate(self._streams):
            if cleaned is None:
                self.bad_samples += stream.listen(piece[channel])
            else:
                played = cleaned[channel, start : start + piece.shape[1]]
                self._play(channel, piece[channel], played)
                if self._ears:
                    self._ears[channel].listen(played)

    def _play(self, channel: int, sound: Float32Array, out: Float32Array) -> None:
        """Play a piece of one hop, and find the gains for what follows each part that ends."""
        stream, run, start = self._streams[channel], self._runs[channel], 0
        while start < len(sound):
            if run.controller and not stream.resting:
                self.bad_samples += stream.flow(
                    run.controller, sound[start:], out[start : len(sound)], self._kept_now
                )
                self._last_gains[channel] = run.controller.gains
                return
            stop = min(len(sound), start + stream.samples_left)
            self.bad_samples += stream.advance(sound[start:stop], out[start:stop])
            start = stop
            if stream.samples_left:
                continue
            if not stream.paused:
                ended = WHETHER[stream.ends_update]
                self._last_gains[channel] = run.gains(stream.features()[None], ended)[0]
            if not stream.ends_hop:
                stream.next_part(self._limited(self._last_gains[channel]))

    def _columns(self, block: Float32Array, out: Float32Array | None) -> Float32Array:
        """The block as [channels, samples], once it and ``out`` fit."""
        for name, array in (("block", block), ("out", out)):
            if array is not None and array.dtype.kind != "f":
                raise UserError(f"{name} is {array.dtype}; give floats of full scale 1")
        if self.denoiser and (out is None or out.shape != block.shape):
            shape = None if out is None else out.shape
            raise UserError(f"out must be an array shaped like block, {block.shape}, not {shape}")
        columns = block[None] if block.ndim == 1 else block.T
        columns = np.ascontiguousarray(columns, np.float32)
        if columns.shape[0] != self.channels:
            raise UserError(f"block has {columns.shape[0]} channels, the pipeline {self.channels}")
        return columns

    def _end_hop(self, events: list[KeywordEvent]) -> None:
        if self.spotter:
            event = self.spotter.hop(
                *(
                    mean([bank.contrast()[: self._spotter_oscillators] for bank in banks])
                    for banks in (self._streams, self._ears)
                    if banks
                ),
                voice=self.voice,
            )
            if event:
                events.append(event)
        for ear in self._ears:
            ear.next_part()
        for channel, stream in enumerate(self._streams):
            flows = self._flows(channel) and not stream.rests_next
            watched = self.on_hop if channel == 0 else None
            gains = self._chosen(channel) if self.denoiser and (watched or not flows) else None
            if watched:
                watched(stream, gains)
            if not flows:
                stream.next_part(gains)

    def _flows(self, channel: int) -> bool:
        """Whether the stream goes on by itself: the last gains are the compiled controller's."""
        controller = self._runs[channel].controller if self.denoiser else None
        return controller is not None and self._last_gains[channel] is controller.gains

    def _chosen(self, channel: int) -> NDArray[np.complex64]:
        """Gains for the next hop [oscillators]; at rest the same array as long as all is as it was.

        A new array else: streams keep it.
        """
        kept, before = self._kept_now, self._held[channel]
        if before is None or before[0] != kept or not self._streams[channel].dozing:
            before = self._held[channel] = kept, self._limited(self._last_gains[channel])
        return before[1]

    @property
    def _kept_now(self) -> np.float32:
        """Share of the sound that no gain removes."""
        return np.float32(1.0) if self.bypass else self._kept

    def _limited(self, gains: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """The gains [parts, oscillators] or [oscillators] once limit and bypass have their say."""
        limited = np.empty_like(gains)
        limit(gains.ravel(), self._kept_now, limited.ravel())
        return limited


def mean(contrasts: Sequence[Float32Array]) -> Float32Array:
    """Of all channels; each [..., oscillators]."""
    if len(contrasts) == 1:
        return contrasts[0]
    summed = contrasts[0].copy()
    for contrast in contrasts[1:]:
        summed += contrast
    return np.asarray(summed / np.float32(len(contrasts)))


def make_stream(
    samplerate: float,
    denoiser: DenoiserModel | None,
    spotter: SpotterModel | None,
    kind: type[Bank],
) -> Bank:
    """The bank of these models at work.

    Parameters
    ----------
    samplerate
        Of the sound, Hz.
    denoiser, spotter
        Whose bank: the denoiser's, or without one the spotter's.
    kind
        :class:`~resonance.dsp.stream.BankStream`, or what goes over stretches at once.

    Returns
    -------
    BankStream
        At rest.

    Raises
    ------
    UserError
        If there is no model.
    """
    if denoiser:
        return kind(
            denoiser.bank,
            samplerate,
            denoiser.hop_s,
            carriers=denoiser.carriers,
            ramp_s=denoiser.ramp_s,
            lookahead_s=denoiser.lookahead_s,
            parts=denoiser.parts,
            updates=denoiser.updates,
        )
    if spotter:
        return kind(spotter.bank, samplerate, spotter.hop_s)
    raise UserError("a pipeline needs a denoiser, a spotter or both")


def _check(
    samplerate: float, channels: int, denoiser: DenoiserModel | None, spotter: SpotterModel | None
) -> None:
    low, high = SAMPLERATES
    if not low <= samplerate <= high:
        raise UserError(
            f"samplerate {samplerate:g} Hz is outside {low} … {high} Hz; resample first"
        )
    if channels < 1:
        raise UserError(f"{channels} channels: there must be at least one")
    if denoiser and spotter and not _shares_bank(denoiser, spotter):
        raise UserError(
            "denoiser and spotter were made for different banks; export both from the same version"
        )


def _shares_bank(denoiser: DenoiserModel, spotter: SpotterModel) -> bool:
    count = len(spotter.bank)
    return bool(
        denoiser.hop_s == spotter.hop_s
        and np.allclose(denoiser.bank.f0_hz[:count], spotter.bank.f0_hz)
        and np.allclose(denoiser.bank.damping_ratio[:count], spotter.bank.damping_ratio)
    )
