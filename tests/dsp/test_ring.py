import numpy as np

from resonance.dsp.ring import FrameRing


def test_ring_keeps_the_newest_in_order():
    ring = FrameRing(4, 2, fill=-1.0)
    for i in range(11):
        ring.push(np.full(2, i, np.float32))
        expected = [max(j, -1) for j in range(i - 3, i + 1)]
        np.testing.assert_array_equal(ring.view()[:, 0], expected)
        assert ring.view().flags.c_contiguous
    ring.reset()
    assert (ring.view() == -1).all()
