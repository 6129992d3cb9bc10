"""What reaches the views: every row once, every hop of sound once, both sides aligned."""

import numpy as np

from resonance.app.gui.frames import Feed
from resonance.app.gui.snapshot import demo_board
from resonance.app.live.board import Board
from resonance.app.live.processor import Processor, board_facts
from resonance.app.pipeline import Pipeline

RATE = 16000


def live(model, spotter=None, kept_s=5.0):
    pipeline = Pipeline(RATE, denoiser=model, spotter=spotter)
    board = Board(board_facts(pipeline, kept_s))
    return board, Processor(pipeline, board, clock=lambda: 0.0)


def play(processor, sound):
    played = np.empty(160, np.float32)
    for start in range(0, len(sound) - 159, 160):
        processor.process(sound[start : start + 160], played)


def test_every_row_comes_once_and_every_hop_is_a_column(denoiser, spotter, rng):
    board, processor = live(denoiser, spotter)
    feed, numbers, columns = Feed(), [], 0
    noise = (0.1 * rng.standard_normal(3 * RATE)).astype(np.float32)
    for start in range(0, len(noise), 480):  # frames of 30 ms
        play(processor, noise[start : start + 480])
        frame = feed.frame(board)
        assert frame.fresh == (start == 0)
        assert frame.first_column == columns
        numbers += frame.hops["number"].tolist()
        columns += len(frame.columns.input)
    assert numbers == list(range(board.hops.count))
    assert columns == board.hops.count
    assert len(feed.frame(board).hops) == 0


def test_columns_are_what_the_bank_took_in(denoiser, rng):
    board, processor = live(denoiser)
    play(processor, (0.1 * rng.standard_normal(RATE)).astype(np.float32))
    frame = Feed().frame(board)
    np.testing.assert_allclose(frame.columns.input, frame.hops["power"], rtol=1e-3, atol=1e-12)
    own = np.exp(
        2j * np.pi * denoiser.bank.f0_hz * frame.hop_s * np.arange(len(frame.hops))[:, None]
    )
    loud = frame.hops["power"] > 1e-6
    turned = np.exp(1j * frame.columns.phase) / (frame.hops["z"] / np.abs(frame.hops["z"])) * own
    np.testing.assert_allclose(turned[loud], 1.0, atol=0.02)


def test_a_look_ahead_is_taken_out(studio):
    """A click comes in and is played in the same column, though it is played 20 ms later."""
    board, processor = live(studio)
    processor.pipeline.bypass = True
    sound = np.zeros(2 * RATE, np.float32)
    sound[RATE] = 0.9
    play(processor, sound)
    feed = Feed()
    feed.latency_samples = processor.pipeline.latency_samples
    columns = feed.frame(board).columns
    assert columns.input.sum(axis=1).argmax() == columns.output.sum(axis=1).argmax()


def test_a_feed_that_slept_goes_on_with_what_is_kept(denoiser, rng):
    board, processor = live(denoiser, kept_s=1.0)
    play(processor, np.zeros(RATE, np.float32))
    feed = Feed()
    feed.frame(board)
    play(processor, (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32))
    frame = feed.frame(board)
    assert len(frame.columns.input) <= 126
    assert abs(frame.last_column - 5 * 125) <= 2, "the time that nobody saw is left empty"


def test_a_new_board_continues_the_columns(board):
    feed = Feed()
    first = feed.frame(board)
    second = feed.frame(demo_board(1.0))
    assert second.fresh
    assert second.first_column == first.last_column
    assert second.column(0.0) == first.last_column
