"""Two clicks to a clean call: a real window, pointer, sound server and recording client."""

import shutil

import pytest

from bench.window import first_call

pytestmark = pytest.mark.skipif(not shutil.which("xdotool"), reason="no xdotool")


@pytest.mark.timeout(240)
def test_two_clicks_make_a_clean_call_that_outlives_the_window(monkeypatch):
    monkeypatch.setattr(first_call, "CALL_S", 4.0)
    call = first_call.first_call()
    assert any("Resonance" in name for name in call.names), "other programs can choose it"
    assert call.noise_db > 10, "recorded while the window was closed"
    assert call.clean_s < first_call.PATIENCE_S
