import numpy as np
import pytest

from resonance import UserError, clean, spot


@pytest.mark.parametrize("function", [clean, spot])
@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((2, 48000), r"48000 channels of 2 samples; .* array\.T"),
        ((100, 65), r"65 channels of 100 samples; .* array\.T"),
        ((3, 4, 5), r"\[samples\] or \[samples, channels\]"),
    ],
)
def test_arrays_that_are_not_samples_by_channels_are_refused(function, shape, sentence):
    with pytest.raises(UserError, match=sentence):
        function(np.zeros(shape, np.float32), 48000)


def test_errors_speak_of_arguments():
    with pytest.raises(UserError, match="limit_db -3 must lie"):
        clean(np.zeros(100), 48000, limit_db=-3)
    with pytest.raises(UserError, match="samplerate"):
        clean(np.zeros(100), 10)
    with pytest.raises(UserError, match="array is bool"):
        clean(np.zeros(100, bool), 48000)
