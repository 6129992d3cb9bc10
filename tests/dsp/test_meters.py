import pytest

from resonance.dsp.meters import FLOOR_DB, to_db
from tests.dsp import oracle


def test_levels_are_in_db_of_full_scale(rng):
    assert to_db(1.0) == 0.0
    assert to_db(0.5) == pytest.approx(-6.02, abs=0.01)
    assert to_db(0.0) == to_db(1e-9) == FLOOR_DB
    sound = rng.standard_normal(1000)
    assert to_db((sound**2).mean() ** 0.5) == pytest.approx(oracle.dbfs(sound))
