"""A small board's facts, and a processor around the shipped models."""

import pytest

from resonance.app.live.board import Board
from resonance.app.live.processor import Processor
from resonance.app.pipeline import Pipeline


def facts(samplerate=48000, words=(), kept_s=2.0):
    heads, tokens, d_osc = (4, 31, 2) if words else (0, 0, 0)
    return {
        "samplerate": samplerate,
        "oscillators": 160,
        "words": list(words),
        "kept_s": kept_s,
        "heads": heads,
        "tokens": tokens,
        "d_osc": d_osc,
    }


@pytest.fixture
def board():
    return Board(facts())


@pytest.fixture
def make_processor(denoiser, spotter):
    """Makes a processor for a samplerate, with or without a spotter; its time stands still."""

    def make(samplerate=48000, spot=False, model=denoiser, clock=lambda: 0.0, **options):
        pipeline = Pipeline(samplerate, denoiser=model, spotter=spotter if spot else None)
        words = spotter.words if spot else ()
        board = Board(facts(samplerate, words, kept_s=20.0))
        return Processor(pipeline, board, clock=clock, **options)

    return make
