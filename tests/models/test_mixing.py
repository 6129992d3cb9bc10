from dataclasses import replace

import numpy as np
import pytest
import soundfile

from resonance.models.data import AudioStore, Recording
from resonance.models.mixing import (
    Mixer,
    MixingRecipe,
    colored_noise,
    hum,
    rms,
    rumble,
    speech_rms,
    whistle,
)
from resonance.models.rooms import room_responses
from resonance.models.vowels import SNR_DB, noisy_vowel, vowel

PLAIN = MixingRecipe(
    seconds=1.0,
    snr_db=(5.0, 5.0),
    p_no_noise=0,
    p_no_speech=0,
    p_vowel=0,
    p_synthetic_noise=0,
    p_babble=0,
    p_second_noise=0,
    p_room=0,
    p_pause=0,
    p_band_limit=0,
    p_clip=0,
    p_rumble=0,
    p_whistle=0,
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "speech.wav", vowel(rng, 48000), 16000)
    soundfile.write(folder / "noise.wav", 0.1 * rng.standard_normal(48000), 16000)
    return tuple(
        AudioStore([Recording(folder / f"{kind}.wav", kind, "train")], folder / "cache")
        for kind in ("speech", "noise")
    )


def test_snr_is_what_was_asked_for(stores):
    noisy, clean = Mixer(*stores, [], PLAIN, seed=1).mixture(0)
    assert 20 * np.log10(speech_rms(clean) / rms(noisy - clean)) == pytest.approx(5.0, abs=0.1)


def test_a_mixture_is_a_function_of_seed_and_number(stores):
    rooms = room_responses(2, 0)
    recipe = MixingRecipe(seconds=0.5)
    once, again = (Mixer(*stores, rooms, recipe, seed=3) for _ in range(2))
    other = Mixer(*stores, rooms, recipe, seed=4)
    for number in (0, 7, 123):
        np.testing.assert_array_equal(once.mixture(number), again.mixture(number))
        assert not np.array_equal(once.mixture(number), other.mixture(number))


def test_every_mixture_is_sound(stores):
    mixer = Mixer(*stores, room_responses(2, 0), MixingRecipe(seconds=0.5), seed=5)
    noisy, clean = mixer.batch(0, 120)
    assert noisy.shape == clean.shape == (120, 8000)
    assert np.isfinite(noisy).all()
    assert np.abs(noisy).max() <= 1.0
    assert (np.abs(clean).max(axis=1) < 1e-6).any(), "some hold no speech"
    assert (np.abs(noisy - clean).max(axis=1) < 1e-6).any(), "some hold no noise"


def test_noises_have_the_color_asked_for(rng):
    power = np.abs(np.fft.rfft(colored_noise(rng, 1 << 16, 6.0))) ** 2
    octaves = [power[1 << k : 2 << k].mean() for k in range(9, 14)]
    np.testing.assert_allclose(10 * np.diff(np.log10(octaves)), -6.0, atol=1.0)
    assert rms(hum(rng, 16000)) == pytest.approx(1.0, rel=1e-3)


def test_rumble_lies_below_speech(rng):
    hz = np.fft.rfftfreq(1 << 16, 1 / 16000)
    for _ in range(20):
        sound = rumble(rng, 1 << 16)
        assert rms(sound) == pytest.approx(1.0, rel=1e-3)
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        assert power[hz > 200].sum() < 0.02 * power.sum()


def test_a_whistle_is_a_tone(rng):
    for _ in range(20):
        sound = whistle(rng, 1 << 14)
        assert rms(sound) == pytest.approx(1.0, rel=1e-3)
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        top = int(power.argmax())
        assert power[max(0, top - 60) : top + 60].sum() > 0.95 * power.sum()


@pytest.mark.parametrize("kind", ["rumble", "whistle"])
def test_rumble_and_whistles_are_in_the_mixture_alone(stores, kind):
    plain = replace(PLAIN, p_level_step=0.0)
    recipe = replace(plain, **{f"p_{kind}": 1.0, f"{kind}_db": (20.0, 20.0)})
    clean = [Mixer(*stores, [], each, seed=1).mixture(0)[1] for each in (plain, recipe)]
    noisy, _ = Mixer(*stores, [], recipe, seed=1).mixture(0)
    assert 20 * np.log10(rms(noisy - clean[1]) / speech_rms(clean[1])) > 15
    assert np.corrcoef(*clean)[0, 1] > 0.999


def test_rooms_start_with_the_direct_sound():
    for response in room_responses(3, 1):
        assert response[0] == 1.0
        assert 1000 < len(response) <= 8000


def test_vowels_are_harmonic_and_as_noisy_as_published(rng):
    clean, noisy = noisy_vowel(rng)
    assert 20 * np.log10(rms(clean) / rms(noisy - clean)) == pytest.approx(SNR_DB, abs=0.01)
    spectrum = np.abs(np.fft.rfft(clean * np.hanning(len(clean)))) ** 2
    assert np.sort(spectrum)[-200:].sum() > 0.95 * spectrum.sum(), "energy stands in few lines"
