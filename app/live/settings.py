"""What an engine is asked to do: plain values that cross process borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from resonance.app.custom_words import CustomWord
from resonance.app.errors import WrongUsage
from resonance.app.presets import LIVE_PRESET, preset_path
from resonance.app.spotter import Sensitivity


@dataclass(frozen=True)
class EngineSettings:
    """Everything that can be chosen about live sound; all but ``kept_s`` can change while it runs.

    Device names are as ``resonance devices`` lists them; None is the system's default.
    """

    input_name: str | None = None
    output_name: str | None = None
    #: Of an input with several channels, from 1; None: what the device gives as one channel.
    channel: int | None = None
    #: "in" cleans the microphone, "out" what other programs play.
    direction: str = "in"
    #: Play into a microphone that other programs can choose.
    virtual_mic: bool = False
    #: With the virtual microphone: also play into the output, so that people hear themselves.
    monitor: bool = False
    samplerate: float | None = None  #: Hz; None: the input device's
    block_s: float = 0.01
    preset: str = LIVE_PRESET
    limit_db: float | None = None  #: largest attenuation; None: no limit
    bypass: bool = False  #: play the sound as it came, aligned
    spot: bool = True  #: listen for keywords
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    custom: tuple[CustomWord, ...] = ()
    feedback_guard: bool = True  #: stop howling between loudspeaker and microphone
    #: Do nothing while no program records from the virtual microphone and no keyword is spotted.
    rest_unheard: bool = False
    kept_s: float = 30.0  #: past sound that can be saved


def check(settings: EngineSettings) -> None:
    """Raise WrongUsage if a setting makes no sense, whatever devices there are."""
    if settings.direction not in ("in", "out"):
        raise WrongUsage(f"direction {settings.direction!r} must be in or out")
    if settings.direction == "out" and settings.virtual_mic:
        raise WrongUsage("a virtual microphone carries what goes in; with direction out, leave it")
    if settings.virtual_mic and settings.output_name and not settings.monitor:
        raise WrongUsage("the virtual microphone is the output: leave the output device out")
    if settings.monitor and not settings.virtual_mic:
        raise WrongUsage("only a virtual microphone has a monitor; without one, name an output")
    if settings.channel is not None and settings.channel < 1:
        raise WrongUsage(f"channel {settings.channel}: channels are counted from 1")
    if not 0.001 <= settings.block_s <= 0.2:
        raise WrongUsage(f"blocks of {1000 * settings.block_s:g} ms: choose 1 to 200 ms")
    if settings.samplerate is not None:
        from resonance.app.pipeline import SAMPLERATES  # which takes a while

        if not SAMPLERATES[0] <= settings.samplerate <= SAMPLERATES[1]:
            raise WrongUsage(f"samplerate {settings.samplerate:g} Hz is outside {SAMPLERATES}")
    preset_path(settings.preset)
    if settings.limit_db is not None and not 0 <= settings.limit_db <= 200:
        raise WrongUsage(f"limit {settings.limit_db:g} dB must lie between 0 and 200")


def changed(settings: EngineSettings, changes: Mapping[str, Any]) -> EngineSettings:
    """The settings with these changes.

    Raises
    ------
    WrongUsage
        If one is of no setting that can change, or its value makes no sense.
    """
    names = {field.name for field in fields(EngineSettings)} - {"kept_s"}
    for name in changes:
        if name not in names:
            raise WrongUsage(
                f"no setting {name!r} can change; there are: {', '.join(sorted(names))}"
            )
    made = replace(settings, **changes)
    check(made)
    return made
