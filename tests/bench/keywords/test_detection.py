"""What the keyword measurements count."""

import io

import numpy as np
import soundfile

from bench.keywords.detection import distinct


def test_a_recording_that_is_there_twice_counts_once(rng):
    """Copies are known by their content: at another level, moved, or through a codec."""
    time = np.arange(16000) / 16000
    hums = [np.cumsum(rng.standard_normal(16000)) for _ in range(3)]
    noises = [(0.2 * np.sin(800 * time + 0.05 * hum)).astype(np.float32) for hum in hums]
    file = io.BytesIO()
    soundfile.write(file, noises[1], 16000, format="OGG", subtype="OPUS")
    file.seek(0)
    coded, _ = soundfile.read(file, dtype="float32")
    quieter, moved = 0.2 * noises[0], np.roll(noises[2], 40)
    assert distinct([noises[0], noises[1], quieter, coded, noises[2], moved]) == [0, 1, 4]
    assert distinct([noises[0], noises[0][:8000]]) == [0, 1]
