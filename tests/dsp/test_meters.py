import numpy as np
import pytest

from resonance.dsp import oracle
from resonance.dsp.meters import FLOOR_DB, LevelMeter


def test_meter_settles_at_the_rms_level():
    meter = LevelMeter(16000)
    tone = (0.5 * np.sin(np.arange(16000) * 0.3)).astype(np.float32)
    for _ in range(3):
        for block in tone.reshape(100, 160):
            meter.update(block)
    assert meter.rms_db == pytest.approx(oracle.dbfs(tone), abs=0.2)
    assert meter.peak_db == pytest.approx(-6.02, abs=0.1)


def test_meter_counts_clipping_and_survives_poison():
    meter = LevelMeter(16000)
    meter.update(np.array([0.1, 1.0, -1.2, np.nan, np.inf], np.float32))
    assert meter.clipped == 2
    assert np.isfinite(meter.rms_db)
    meter.reset()
    meter.update(np.zeros(0, np.float32))
    assert meter.rms_db == meter.peak_db == FLOOR_DB
