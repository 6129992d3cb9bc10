"""ONNX models: loaded, checked against their cards, warmed up, with their states bound in place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.errors import ModelError
from assets import MODELS
from dsp.bank import FloatArray, OscillatorBank
from dsp.features import FEATURE_NAMES, FORMAT_VERSION, LOG_OFFSET, LOG_SCALE, POWER_FLOOR
from dsp.meters import FLOOR_DB

Float32Array = NDArray[np.float32]


def _load(path: Path, kind: str) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """A one-thread session and its metadata, once card and contents agree."""
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ModelError(f"the model file {needed} is missing; reinstall, or export it again")
    try:
        card = read_card(card_path)
        content = path.read_bytes()
    except (ValueError, OSError) as error:
        raise ModelError(f"the card {card_path} cannot be read ({error}); reinstall") from error
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise ModelError(f"{path} is not the file its card describes; export it again or reinstall")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        raw = session.get_modelmeta().custom_metadata_map
        facts = {name: json.loads(value) for name, value in raw.items()}
    except Exception as error:  # onnxruntime has no common base for its errors
        raise ModelError(f"{path} is not a model of ours ({error}); export it again") from error
    _check(path, facts, kind)
    return session, facts


def read_card(path: Path) -> dict[str, Any]:
    """A model's card; ValueError if it is not a JSON object."""
    card = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(card, dict):
        raise ValueError("not a JSON object")
    return card


def _check(path: Path, facts: dict[str, Any], kind: str) -> None:
    wanted = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "feature_normalisation": [POWER_FLOOR, LOG_OFFSET, LOG_SCALE],
    }
    if kind == "denoiser":
        wanted["features"] = list(FEATURE_NAMES)
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise ModelError(
                f"{path} says {name} = {facts.get(name)!r}, this program needs {value!r}; "
                "export the model again with this version"
            )


def _bank(facts: dict[str, Any]) -> OscillatorBank:
    return OscillatorBank(np.array(facts["f0_hz"]), np.array(facts["damping_ratio"]))


class DenoiserModel:
    """A denoiser file, shared by all channels.

    Raises
    ------
    ModelError
        If the file or its card is missing, damaged, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.session, self.facts = _load(path, "denoiser")
        self.bank = _bank(self.facts)
        self.carriers: NDArray[np.bool_] = np.array(self.facts["carriers"], dtype=bool)
        self.hop_s = float(self.facts["hop_s"])
        self.ramp_s = float(self.facts["ramp_s"])
        self.lookahead_s = float(self.facts["lookahead_s"])
        shape = [1, len(self.bank), len(FEATURE_NAMES)]
        if self.session.get_inputs()[0].shape != shape:
            raise ModelError(f"{path} does not take one hop at a time; use the step form")

    @classmethod
    def preset(cls, name: str) -> DenoiserModel:
        """The shipped model of a preset."""
        path = MODELS / f"denoiser-{name}.onnx"
        if not path.exists():
            known = sorted(p.stem.removeprefix("denoiser-") for p in MODELS.glob("denoiser-*.onnx"))
            shipped = ", ".join(k for k in known if not k.endswith("-sequence")) or "none"
            raise ModelError(f"preset {name!r} is not shipped; choose one of: {shipped}")
        return cls(path)


class DenoiserState:
    """One channel's run through a denoiser: arrays bound once, states fed back without copies."""

    def __init__(self, model: DenoiserModel) -> None:
        self._session = model.session
        inputs = {i.name: np.zeros(i.shape, np.float32) for i in model.session.get_inputs()}
        self._features = inputs.pop("features")
        shapes = {o.name: o.shape for o in model.session.get_outputs()}
        self._gain = np.zeros(shapes["gain"], np.float32)
        self._reading = np.zeros(shapes["reading"], np.float32)
        self._states = (inputs, {name: np.zeros_like(array) for name, array in inputs.items()})
        # Two bindings take turns: what one writes, the other reads.
        self._bindings = tuple(
            self._bind(self._states[turn], self._states[1 - turn]) for turn in (0, 1)
        )
        self._turn = 0
        self.step(np.zeros(self._features.shape[1:], np.float32))
        self.reset()

    def _bind(self, before: dict[str, Float32Array], after: dict[str, Float32Array]) -> Any:
        binding = self._session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        binding.bind_ortvalue_input("features", value(self._features))
        binding.bind_ortvalue_output("gain", value(self._gain))
        binding.bind_ortvalue_output("reading", value(self._reading))
        for name in before:
            binding.bind_ortvalue_input(name, value(before[name]))
            binding.bind_ortvalue_output(f"new_{name}", value(after[name]))
        return binding

    def reset(self) -> None:
        """Back to rest."""
        for states in self._states:
            for array in states.values():
                array[:] = 0.0
        self._reading[:] = 0.0, FLOOR_DB

    @property
    def voice(self) -> float:
        """Probability of voice in the last hop."""
        return float(self._reading[0, 0])

    @property
    def noise_dbfs(self) -> float:
        """Level of the noise around the last hop, dB of full scale."""
        return float(self._reading[0, 1])

    def step(self, features: Float32Array) -> NDArray[np.complex64]:
        """Features of a hop [oscillators, 4] → gains for the next [oscillators], a view."""
        self._features[0] = features
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        return self._gain.view(np.complex64)[0, :, 0]


class SpotterModel:
    """A keyword spotter file.

    Raises
    ------
    ModelError
        If the file or its card is missing, damaged, or of another format.
    """

    def __init__(self, path: Path = MODELS / "keywords.onnx") -> None:
        self.session, self.facts = _load(path, "keywords")
        self.bank = _bank(self.facts)
        self.labels: list[str] = self.facts["labels"]
        self.words = int(self.facts["words"])
        self.hop_s, self.frame_s = float(self.facts["hop_s"]), float(self.facts["frame_s"])
        self.frames, self.bands = int(self.facts["frames"]), int(self.facts["bands"])
        self.stride = int(self.facts["stride"])
        self.pooling: FloatArray = np.array(self.facts["pooling"], dtype=np.float32)
        self.evaluate(np.zeros((self.frames, self.bands), np.float32))

    def evaluate(self, window: Float32Array) -> Float32Array:
        """Probabilities [labels] for a window [frames, bands] of normalised log powers."""
        (logits,) = self.session.run(["logits"], {"window": window[None]})
        odds = np.exp(logits[0] - logits[0].max())
        return np.asarray(odds / odds.sum())
