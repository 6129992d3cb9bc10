import numpy as np
import pytest

from resonance.app.take_versions import NOISE_DB, SPEEDS, versions


@pytest.mark.parametrize("samplerate", [8000, 48000])
def test_a_take_gets_a_room_noise_and_other_speeds(samplerate, rng):
    take = np.zeros(samplerate, np.float32)  # the second half is a pause
    spoken = slice(samplerate // 8, samplerate // 2)
    take[spoken] = 0.1 * rng.standard_normal(take[spoken].shape)
    room, noise, *hasty = versions(take, samplerate)
    assert {each.dtype for each in (room, noise, *hasty)} == {np.dtype(np.float32)}
    assert [len(each) for each in (room, noise)] == [len(take)] * 2
    lengths = [len(each) for each in hasty]
    np.testing.assert_allclose(lengths, len(take) / np.array(SPEEDS), atol=1)
    assert np.std(room[samplerate // 2 :]) > 10 * np.std(take[samplerate // 2 :])
    snr_db = 20 * np.log10(np.std(take[spoken]) / np.std(noise - take))
    assert snr_db == pytest.approx(NOISE_DB, abs=2)


def test_the_same_take_has_the_same_versions(rng):
    take = rng.standard_normal(16000).astype(np.float32)
    for one, other in zip(versions(take, 16000), versions(take, 16000), strict=True):
        np.testing.assert_array_equal(one, other)
