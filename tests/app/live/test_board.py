"""Boards: what one process writes, others read whole or not at all."""

import subprocess
import sys
import time

import numpy as np
import pytest

from resonance.app.errors import UserError
from resonance.app.live.board import COUNTERS, HOPS, Board, new_path
from tests.app.live.conftest import facts


def write_hop(board, value):
    place = board.hops.begin()
    for field in board.hops.fields.values():
        field[place] = value
    board.hops.commit()


def test_rows_come_once_in_order_and_only_the_last_are_kept(board):
    assert board.hops.last() is None
    for value in range(3):
        write_hop(board, value)
    assert list(board.hops.since()["time_s"]) == [0, 1, 2]
    assert list(board.hops.since(2)["number"]) == [2]
    assert len(board.hops.since(3)) == 0
    for value in range(3, HOPS + 10):
        write_hop(board, value)
    rows = board.hops.since()
    assert len(rows) == HOPS
    assert rows["number"][0] == 10
    assert board.hops.last()["time_s"] == HOPS + 9


def test_a_row_that_is_being_written_is_not_read(board):
    write_hop(board, 1)
    board.hops.begin()
    assert len(board.hops.since()) == 1
    for value in range(HOPS):
        write_hop(board, value)
    board.hops.begin()  # in the place of the oldest one
    assert len(board.hops.since()) == HOPS - 1


def test_sound_comes_back_as_it_was_put(board, rng):
    sound = rng.standard_normal((300_000, 2)).astype(np.float32)
    for start in range(0, len(sound), 480):
        block = sound[start : start + 480]
        board.sound.put(block[:, 0].copy(), block[:, 1].copy())
    first, kept = board.sound.since(0)
    assert first == len(sound) - 96_000
    np.testing.assert_array_equal(kept, sound[first:])
    first, recent = board.sound.since(len(sound) - 700)
    np.testing.assert_array_equal(recent, sound[-700:])
    assert first == len(sound) - 700


def test_another_process_never_reads_a_torn_row():
    """A writer that fills rows with one number as fast as it can; a reader that compares."""
    path = new_path()
    board = Board(facts(), path)
    code = (
        "import sys; from pathlib import Path; from resonance.app.live.board import Board\n"
        "board = Board.attach(Path(sys.argv[1])); seen = torn = 0\n"
        "print('ready', flush=True)\n"
        "while seen < 20_000:\n"
        "    for row in board.hops.since(board.hops.count - 40):\n"
        "        seen += 1; torn += not ((row['power'] == row['time_s']).all()\n"
        "                                and (row['gain'].real == row['time_s']).all())\n"
        "    assert len(board.hops.since(0)) <= 512\n"
        "print(torn)\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout.readline() == "ready\n"
    latest, rows = time.monotonic() + 60, 0
    while reader.poll() is None and time.monotonic() < latest:
        write_hop(board, rows % 1000)
        rows += 1
    torn = int(reader.communicate(timeout=5)[0])
    board.close()
    assert torn == 0
    assert rows > 1000


def test_saved_and_loaded_it_is_the_same(board, rng, tmp_path):
    board.sound.put(*rng.standard_normal((2, 1000)).astype(np.float32))
    for value in range(5):
        write_hop(board, value)
    board.save(tmp_path / "board.npz")
    loaded = Board.load(tmp_path / "board.npz")
    np.testing.assert_array_equal(loaded.hops.since(), board.hops.since())
    np.testing.assert_array_equal(loaded.sound.since(0)[1], board.sound.since(0)[1])
    assert loaded.facts == board.facts
    assert loaded.counters() == dict.fromkeys(COUNTERS, 0)


def test_files_with_the_old_names_of_levels_are_read(board, tmp_path):
    place = board.blocks.begin()
    for field, values in board.blocks.fields.items():
        values[place] = {"input_power": 0.5, "output_high": 0.25}.get(field, 0)
    board.blocks.commit()
    board.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as content:
        parts = dict(content)
    new = parts["blocks"].dtype.names
    old = [
        n if n in COUNTERS else n.replace("input_", "heard_").replace("output_", "played_")
        for n in new
    ]
    assert {"heard_power", "played_high"} <= set(old)
    parts["blocks"].dtype.names = old
    np.savez(tmp_path / "old.npz", **parts)
    np.testing.assert_array_equal(
        Board.load(tmp_path / "old.npz").blocks.since(), board.blocks.since()
    )


def test_what_is_no_board_is_refused_and_what_crashes_leave_is_cleared(tmp_path):
    with pytest.raises(UserError, match="no engine behind"):
        Board.attach(tmp_path / "none")
    (tmp_path / "text").write_text("x" * 1000)
    with pytest.raises(UserError, match="no board of this version"):
        Board.attach(tmp_path / "text")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from resonance.app.live.board import Board, new_path\n"
        "from tests.app.live.conftest import facts\n"
        "path = new_path(); Board(facts(), path); print(path)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    left = done.stdout.strip()
    assert left, done.stderr
    mine = new_path()
    assert not mine.parent.joinpath(left.rsplit("/", 1)[1]).exists()
