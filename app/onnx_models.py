"""ONNX models: loaded, checked against their cards, warmed up, with their states bound in place."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from resonance.app.errors import ModelError
from resonance.app.model_facts import DEFAULTS, has_external_data, wrong_fact, wrong_shape
from resonance.app.presets import preset_path
from resonance.app.small_files import read_small
from resonance.assets import MODELS
from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import FloatArray, OscillatorBank
from resonance.dsp.features import (
    FEATURE_NAMES,
    FORMAT_VERSION,
    LOG_OFFSET,
    LOG_SCALE,
    POWER_FLOOR,
    SILENT_POWER,
)
from resonance.dsp.meters import FLOOR_DB

if TYPE_CHECKING:
    from resonance.dsp.controller import Controller
    from resonance.dsp.keyword_step import KeywordStep

#: The inputs of a model that are no states, and the outputs that are read by name.
_FIRST = {"denoiser": ("features", "ended"), "keywords": ("frames",)}
_OUTPUTS = {
    "denoiser": ("gain", "reading"),
    "keywords": ("logits", "embedding", "settled", "anchors", "order", "pull", "attention"),
}


def _load(path: Path, kind: str) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """A one-thread session and its metadata, once card and contents agree."""
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ModelError(f"the model file {needed} is missing; reinstall, or export it again")
    try:
        card = read_card(card_path)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"the card {card_path} cannot be read ({error}); reinstall") from error
    if digest != card.get("sha256"):
        raise ModelError(f"{path} is not the file its card describes; export it again or reinstall")
    if has_external_data(content):
        raise ModelError(f"{path} leads to other files; export it again as one file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        raw = session.get_modelmeta().custom_metadata_map
        said = {name: json.loads(value) for name, value in raw.items()}
    except Exception as error:  # onnxruntime has no common base for its errors
        raise ModelError(f"{path} is not a model of ours ({error}); export it again") from error
    facts = {**DEFAULTS, "identity": digest, **said}
    _check(path, facts, kind)
    _check_shapes(path, session, kind)
    return session, facts


def read_card(path: Path) -> dict[str, Any]:
    """A model's card; ValueError if it is not a JSON object."""
    card = json.loads(read_small(path))
    if not isinstance(card, dict):
        raise ValueError("not a JSON object")
    return card


def _check(path: Path, facts: dict[str, Any], kind: str) -> None:
    floor = SILENT_POWER if kind == "denoiser" else POWER_FLOOR
    wanted = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "feature_normalisation": [floor, LOG_OFFSET, LOG_SCALE],
    }
    if kind == "denoiser":
        wanted["features"] = list(FEATURE_NAMES)
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise ModelError(
                f"{path} says {name} = {repr(facts.get(name))[:80]}, this program needs "
                f"{value!r}; export the model again with this version"
            )
    wrong = wrong_fact(facts, kind)
    if wrong:
        raise ModelError(
            f"{path} says {wrong} = {repr(facts.get(wrong))[:80]}, which makes no sense; export "
            "the model again"
        )


def _check_shapes(path: Path, session: onnxruntime.InferenceSession, kind: str) -> None:
    inputs = {i.name: list(i.shape) for i in session.get_inputs()}
    outputs = {o.name: list(o.shape) for o in session.get_outputs()}
    needed = _OUTPUTS[kind]
    wrong = wrong_shape(inputs, outputs, _FIRST[kind], needed)
    if wrong is None:
        kinds = (*session.get_inputs(), *session.get_outputs())
        wrong = next((end.name for end in kinds if end.type != "tensor(float)"), None)
    if wrong:
        raise ModelError(f"{path}: its {wrong!r} is not as it should be; export the model again")


def _bank(facts: dict[str, Any]) -> OscillatorBank:
    return OscillatorBank(np.array(facts["f0_hz"]), np.array(facts["damping_ratio"]))


def _shown(session: onnxruntime.InferenceSession, kind: str) -> dict[str, Float32Array]:
    """What a file shows of its weights, by name; empty: it can only be run as it is."""
    read = [*_OUTPUTS[kind], *(f"new_{i.name}" for i in session.get_inputs())]
    names = [output.name for output in session.get_outputs() if output.name not in read]
    if not names:
        return {}
    feed = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
    return dict(zip(names, session.run(names, feed), strict=True))


def _check_weights(path: Path, fits: Callable[[], bool]) -> None:
    """Raise ModelError unless the weights that the file at ``path`` shows fit together."""
    try:
        wrong = "" if fits() else "they are for another bank, or another step"
    except KeyError as error:
        wrong = f"{error} is missing"
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise ModelError(f"{path}: its weights do not fit, {wrong}; export it again")


class DenoiserModel:
    """A denoiser file, shared by all channels.

    Raises
    ------
    ModelError
        If the file or its card is missing, damaged, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session, self.facts = _load(path, "denoiser")
        self.bank = _bank(self.facts)
        self.carriers: NDArray[np.bool_] = np.array(self.facts["carriers"], dtype=bool)
        self.hop_s = float(self.facts["hop_s"])
        self.ramp_s = float(self.facts["ramp_s"])
        self.lookahead_s = float(self.facts["lookahead_s"])
        self.parts = int(self.facts["parts"])  #: of a hop, after each of which gains are renewed
        #: Of a hop, with each of which the network hears all anew.
        self.updates = int(self.facts["updates"])
        #: Whether recordings are cleaned backwards in time, too (``app/both_ways.py``).
        self.both_ways = self.facts.get("both_ways") is True
        shapes = {i.name: i.shape for i in self.session.get_inputs()}
        given = [1, 2, len(self.bank), len(FEATURE_NAMES)], [1, 1, 1]
        if any(shapes[n] != shape for n, shape in zip(_FIRST["denoiser"], given, strict=True)):
            raise ModelError(f"{path} does not take one part of a hop at a time; use the step form")

        self.weights = _shown(self.session, "denoiser")
        if self.weights:
            _check_weights(path, self._fits)

    def _fits(self) -> bool:
        """Whether the weights are for this bank."""
        controller, count = _controller(self.weights), len(self.bank)
        carrying = np.arange(count) < controller.broad
        return controller.oscillators == count and bool((self.carriers == carrying).all())

    def start(self) -> DenoiserRun:
        """A run from rest: compiled if the file shows its weights."""
        return CompiledRun(self) if self.weights else GraphRun(self)

    @classmethod
    def preset(cls, name: str) -> DenoiserModel:
        """The shipped model of a preset; :func:`preset_path` says which there are."""
        return cls(preset_path(name))


class BoundModel:
    """A step model at work: arrays bound once, states fed back without copies.

    Every input that is not ``given`` is a state; the output ``new_NAME`` is its next value. The
    others, by name, are :attr:`outputs`, overwritten by every run.
    """

    def __init__(self, session: onnxruntime.InferenceSession, *given: str) -> None:
        self._session = session
        states = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
        self._given = {name: states.pop(name) for name in given}
        self.outputs: dict[str, Float32Array] = {
            o.name: np.zeros(o.shape, np.float32)
            for o in session.get_outputs()
            if o.name.removeprefix("new_") not in states
        }
        self._states = (states, {name: np.zeros_like(array) for name, array in states.items()})
        # Two bindings take turns: what one writes, the other reads.
        self._bindings = tuple(
            self._bind(self._states[turn], self._states[1 - turn]) for turn in (0, 1)
        )
        self._turn = 0
        self.run(*(array[0] for array in self._given.values()))  # the first call is the slowest
        self.reset()

    def _bind(self, before: dict[str, Float32Array], after: dict[str, Float32Array]) -> Any:
        binding = self._session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        for name, array in self._given.items():
            binding.bind_ortvalue_input(name, value(array))
        for name, array in self.outputs.items():
            binding.bind_ortvalue_output(name, value(array))
        for name in before:
            binding.bind_ortvalue_input(name, value(before[name]))
            binding.bind_ortvalue_output(f"new_{name}", value(after[name]))
        return binding

    @property
    def states(self) -> dict[str, Float32Array]:
        """The states that the next step reads, by name; may be overwritten."""
        return self._states[self._turn]

    def unchanged(self) -> bool:
        """Whether the last step left every state as it was."""
        before, after = self._states
        return all(np.array_equal(before[name], after[name]) for name in before)

    def reset(self) -> None:
        """Back to rest; the outputs too."""
        for arrays in (*self._states, self.outputs):
            for array in arrays.values():
                array[:] = 0.0

    def run(self, *given: Float32Array | bool) -> None:
        """One step; what is given without the batch axis."""
        for array, value in zip(self._given.values(), given, strict=True):
            array[0] = value
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn


class DenoiserRun(ABC):
    """One channel's run through a denoiser."""

    #: If it is compiled.
    controller: Controller | None = None

    def __init__(self) -> None:
        self._reading = np.array([0.0, FLOOR_DB], np.float32)
        #: :attr:`voice` after each of the parts that gains were found for last [parts].
        self.voices = np.zeros(0, np.float32)

    def reset(self) -> None:
        """Back to rest."""
        self._reading[:] = 0.0, FLOOR_DB

    @property
    def voice(self) -> float:
        """Probability of voice in the last update."""
        return float(self._reading[0])

    @property
    def noise_dbfs(self) -> float:
        """Level of the noise around the last update, dB of full scale."""
        return float(self._reading[1])

    @abstractmethod
    def gains(self, features: Float32Array, ended: NDArray[np.bool_]) -> NDArray[np.complex64]:
        """Gains for the part of a hop after each [parts, oscillators].

        Parameters
        ----------
        features
            Of the time of a hop that ends with each part, and of the part
            [parts, 2, oscillators, 4].
        ended
            Which parts end an update [parts].
        """


def _controller(weights: dict[str, Float32Array]) -> Controller:
    from resonance.dsp.controller import Controller  # numba takes .2 s: only for who denoises

    return Controller(weights)


class CompiledRun(DenoiserRun):
    """By the compiled controller (``dsp/controller.py``), with the file's weights."""

    controller: Controller

    def __init__(self, model: DenoiserModel) -> None:
        super().__init__()
        self.controller = _controller(model.weights)
        self._reading = self.controller.reading
        nothing = np.zeros((1, 2, self.controller.oscillators, len(FEATURE_NAMES)), np.float32)
        self.gains(nothing, np.ones(1, np.bool_))
        self.reset()  # the first call is the slowest

    def reset(self) -> None:
        """Back to rest."""
        self.controller.reset()
        super().reset()  # comes last: both write the reading

    def gains(self, features: Float32Array, ended: NDArray[np.bool_]) -> NDArray[np.complex64]:
        """All parts in one call."""
        gains = np.empty((len(features), self.controller.oscillators), np.complex64)
        self.voices = self.controller.respond(features, ended, gains)[:, 0]
        return gains


class GraphRun(DenoiserRun):
    """By ONNX Runtime, as the file says: quantised weights, or a network of another shape.

    Every part of a hop costs a whole step; what is not due is left out of the result.
    """

    def __init__(self, model: DenoiserModel) -> None:
        super().__init__()
        self._step = BoundModel(model.session, *_FIRST["denoiser"])
        self._said = self._step.outputs["reading"][0]
        self._gain = self._step.outputs["gain"].view(np.complex64)[0, :, 0]

    def reset(self) -> None:
        """Back to rest."""
        super().reset()
        self._step.reset()

    def gains(self, features: Float32Array, ended: NDArray[np.bool_]) -> NDArray[np.complex64]:
        """One part after the other."""
        gains = np.empty((len(features), features.shape[2]), np.complex64)
        self.voices = np.empty(len(features), np.float32)
        for number, (part, last) in enumerate(zip(features, ended, strict=True)):
            self._step.run(part, last)
            gains[number] = self._gain
            if last:
                self._reading[:] = self._said
            self.voices[number] = self.voice
        return gains


class SpotterModel:
    """A keyword spotter file, shared by all streams.

    Raises
    ------
    ModelError
        If the file or its card is missing, damaged, or of another format.
    """

    def __init__(self, path: Path = MODELS / "keywords.onnx") -> None:
        self.session, self.facts = _load(path, "keywords")
        self.bank = _bank(self.facts)
        #: Hash of this file, or of an earlier export of the same weights.
        self.identity: str = self.facts["identity"]
        self.labels: list[str] = self.facts["labels"]
        self.words = self.labels[: int(self.facts["words"])]
        self.hop_s, self.frame_s = float(self.facts["hop_s"]), float(self.facts["frame_s"])
        self.step_frames, self.bands = int(self.facts["step_frames"]), int(self.facts["bands"])
        self.step_s = self.frame_s * self.step_frames
        self.window_s = self.step_s * int(self.facts["tokens"])
        self.pooling: FloatArray = np.array(self.facts["pooling"], dtype=np.float32)
        if self.session.get_inputs()[0].shape != [1, self.step_frames, self.bands]:
            raise ModelError(f"{path} does not take {self.step_frames} frames at a time")
        self.weights = _shown(self.session, "keywords")
        if self.weights:
            _check_weights(path, self._fits)

    def _fits(self) -> bool:
        """Whether the weights take and give as much as the file."""
        from resonance.dsp.keyword_step import FRAMES

        if self.step_frames != FRAMES:  # the compiled loop looks at no limits
            return False
        outputs = self.compiled().outputs
        shapes = {o.name: tuple(o.shape) for o in self.session.get_outputs()}
        return all(outputs[name].shape == shapes[name] for name in _OUTPUTS["keywords"])

    def compiled(self) -> KeywordStep:
        """A run of the weights that the file shows."""
        from resonance.dsp.keyword_step import KeywordStep  # numba takes .2 s

        return KeywordStep(self.weights, self.bands)


class SpotterState:
    """One stream's run through a spotter; its outputs are arrays that every step overwrites.

    ``logits [labels]`` (logs of probabilities), ``embedding [features]`` for custom words, and for
    the view the last layer's ``settled [heads, tokens, d_osc]``, ``anchors`` (likewise), ``order``
    and ``pull [heads, tokens]`` and ``attention [heads, tokens, tokens]``.
    """

    def __init__(self, model: SpotterModel) -> None:
        self._step: KeywordStep | BoundModel
        if model.weights:
            self._step = model.compiled()
        else:
            self._step = BoundModel(model.session, *_FIRST["keywords"])
        outputs = self._step.outputs
        self.logits = outputs["logits"][0]
        self.embedding = outputs["embedding"][0]
        self.settled = outputs["settled"][0]
        self.order, self.pull = outputs["order"][0], outputs["pull"][0]
        self.attention = outputs["attention"][0]
        self._frames = np.zeros((model.step_frames, model.bands), np.float32)
        self._steady = False
        self.step(self._frames)
        self.anchors = outputs["anchors"].copy()  # the same at every step
        self.reset()

    def reset(self) -> None:
        """At rest."""
        self._step.reset()
        self._steady = False

    def step(self, frames: Float32Array) -> Float32Array:
        """Probabilities [labels] of what the last second holds, after ``frames [2, bands]``.

        The same frames on the same states give the same: in digital silence nothing is computed.
        """
        same = np.array_equal(frames, self._frames)
        if not (same and self._steady):
            self._frames[:] = frames
            self._step.run(frames)
            self._steady = same and self._step.unchanged()  # asked only where it may be so
        odds = np.exp(self.logits)
        return np.asarray(odds / odds.sum())
