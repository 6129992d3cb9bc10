"""What is to be done with every file of a batch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from resonance import __version__
from resonance.app.enrolment import WORD_FILE, kept
from resonance.app.errors import UserError
from resonance.app.onnx_models import DenoiserModel, read_card
from resonance.app.presets import FILE_PRESET
from resonance.app.spotter import Sensitivity
from resonance.assets import MODELS


@dataclass(frozen=True)
class BatchSettings:
    """Choices that shape an output; two runs with the same ones make the same files."""

    preset: str = FILE_PRESET
    limit_db: float | None = None
    spot: bool = False
    rates: tuple[tuple[str, float], ...] = ()  #: false accepts per hour, for words; "" is all
    subtype: str | None = None  #: of the outputs; None: the input's
    dnsmos: str | None = None  #: path of a DNSMOS P.835 model, to estimate opinions with
    channel: int | None = None  #: clean this one alone, counted from 1; None: all
    preserve: bool = False  #: give outputs the inputs' modes and time stamps
    pictures: bool = True  #: gather resonograms for the report

    def sensitivity(self) -> Sensitivity:
        """When a keyword counts as detected; the last rate given for a word counts."""
        given = dict(self.rates)
        return Sensitivity(given.pop("", Sensitivity.per_hour), given)

    def key(self) -> str:
        """Hash of settings, models, custom words and version: what is done is done for a key.

        Raises
        ------
        UserError
            If the preset is not shipped.
        """
        cards = [f"denoiser-{self.preset}.json"] + ["keywords.json"] * self.spot
        try:
            models = [read_card(MODELS / card).get("sha256") for card in cards]
        except (OSError, ValueError):
            DenoiserModel.preset(self.preset)  # says what is wrong
            raise UserError(f"the card of preset {self.preset} cannot be read") from None
        shaping = {**asdict(self), "pictures": None}  # those only go into the report
        for name in ("channel", "preserve"):  # records of earlier versions knew neither
            if not shaping[name]:
                del shaping[name]
        words = _custom_words() if self.spot else []
        facts = json.dumps([shaping, models, words, __version__], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _custom_words() -> list[str]:
    files = [folder / WORD_FILE for _, folder in kept()]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@dataclass(frozen=True)
class BatchJob:
    """One file: where it comes from and where it goes; paths, or addresses of a storage."""

    source: str
    target: str
    size: int = 0  #: bytes, as listed
    #: Outputs of earlier runs and tries that may be replaced.
    replaces: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return Path(self.source).name
