"""Damaged input ends in sense or in a sentence: some seconds of ``python -m bench.files.fuzz``."""

import pytest

from bench.files.fuzz import attack
from resonance.app.readers import READERS


@pytest.mark.parametrize("ending", READERS)
def test_a_reader_survives_damaged_input(ending):
    told = []
    results = attack(ending, seed=7, count=100, report=told.append)
    assert told == []
    assert set(results) <= {"understood", "refused"}
