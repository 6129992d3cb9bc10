"""Settings of live sound: what people choose, and what an engine is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from resonance.app.checks import LIMITS_DB, SAMPLERATES
from resonance.app.custom_words import CustomWord
from resonance.app.errors import WrongUsage
from resonance.app.presets import LIVE_PRESET, presets
from resonance.app.setting import setting, settings_of
from resonance.app.spotter import Sensitivity


def _preset_names() -> list[str]:
    return [preset.name for preset in presets()]


@dataclass(frozen=True)
class LiveSettings:
    """What people choose, one row each.

    A row is an option of ``resonance live``, a key of the tables ``[live]`` and ``[window]`` in the
    file of settings, and a setting of the engine.
    """

    input_name: str | None = setting(
        None, "Input device by name; default: the system's.", key="input"
    )
    output_name: str | None = setting(
        None,
        "Output device by name; default: the system's. With --virtual-mic: hear yourself there.",
        key="output",
    )
    direction: str = setting(
        "in",
        "in: clean the microphone. out: clean what you hear; other programs play into the "
        "loudspeaker that appears (Linux), or into the loopback device given as --input.",
        choices=("in", "out"),
    )
    virtual_mic: bool = setting(
        False, "Play into a microphone that other programs can choose (Linux)."
    )
    preset: str = setting(
        LIVE_PRESET,
        "Denoiser. " + " ".join(f"{p.name}: {p.summary}." for p in presets()),
        choices=_preset_names,
        metavar="NAME",
        per_device=True,
    )
    limit_db: float | None = setting(
        None,
        "Largest attenuation in dB (6–12 light, 18–24 medium); default: no limit.",
        low=LIMITS_DB[0],
        high=LIMITS_DB[1],
        per_device=True,
        unset=-1.0,
    )
    block_ms: float = setting(10.0, "Block length.", low=1, high=200, per_device=True)
    samplerate: float | None = setting(
        None,
        "Hz; default: the input device's.",
        low=SAMPLERATES[0],
        high=SAMPLERATES[1],
        per_device=True,
    )
    channel: int | None = setting(
        None,
        "Of an input with several, counted from 1; default: the device mixes them.",
        low=1,
        per_device=True,
    )
    spot: bool = setting(True, "Listen for keywords.")
    feedback_guard: bool = setting(True, "Turn the output down when it howls into the microphone.")

    @property
    def block_s(self) -> float:
        """Length of a block, s."""
        return self.block_ms / 1000


@dataclass(frozen=True)
class EngineSettings(LiveSettings):
    """Plain values that cross process borders; all but ``kept_s`` can change while it runs."""

    #: With the virtual microphone: also play into the output, so that people hear themselves.
    monitor: bool = False
    bypass: bool = False  #: play the sound as it came, aligned
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    custom: tuple[CustomWord, ...] = ()
    #: Do nothing while no program records from the virtual microphone and no keyword is spotted.
    idle_when_unused: bool = False
    kept_s: float = 30.0  #: past sound that can be saved


def check(settings: EngineSettings) -> None:
    """Raise WrongUsage if a setting makes no sense, whatever devices there are."""
    for name, row in settings_of(EngineSettings).items():
        value = getattr(settings, name)
        if not row.fits(value):
            raise WrongUsage(row.complaint(value))
    if settings.direction == "out" and settings.virtual_mic:
        raise WrongUsage("a virtual microphone carries what goes in; with direction out, leave it")
    if settings.virtual_mic and settings.output_name and not settings.monitor:
        raise WrongUsage("the virtual microphone is the output: leave the output device out")
    if settings.monitor and not settings.virtual_mic:
        raise WrongUsage("only a virtual microphone has a monitor; without one, name an output")


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
