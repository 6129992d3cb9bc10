import numpy as np
import pytest

from resonance.dsp.delay import DelayLine


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("delay", [0, 1, 7, 40])
def test_blocks_of_any_length_come_out_later(rng, delay, channels):
    shape = (100,) if channels is None else (100, channels)
    sound = rng.standard_normal(shape).astype(np.float32)
    line, parts, start = DelayLine(delay, channels), [], 0
    for size in (3, 0, 50, 1, 46):
        parts.append(line.delay(sound[start : start + size]))
        start += size
    out = np.concatenate(parts)
    assert not out[:delay].any()
    np.testing.assert_array_equal(out[delay:], sound[: 100 - delay])
    np.testing.assert_array_equal(line.waiting, sound[100 - delay :])
    line.reset()
    assert not line.delay(sound)[:delay].any()
