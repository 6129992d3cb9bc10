"""Pictures of the window and a short recording, for the README: ``python -m bench.window.screens``.

Nothing is opened on a screen, and time is counted in sound: the pictures are always the same.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from PIL import Image
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication, QWidget

from bench.report import DOCS
from resonance.app.gui.shortcuts import Sheet
from resonance.app.gui.views.play_with_one import TEXT_FRAMES
from resonance.app.gui.window import Window
from resonance.app.live.board import Board
from resonance.app.live.messages import Connection, State
from resonance.app.live.one_oscillator import SAMPLERATE, TONE
from resonance.app.live.processor import Processor, board_facts
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.app.presets import LIVE_PRESET
from resonance.assets import DEMO
from resonance.dsp.oscillator import Oscillator

PICTURES = DOCS / "window"
#: The recording: where in the demo it begins, how long it is, s; pictures per second; its size.
BEGIN_S, LENGTH_S, RATE, SIZE = 6.0, 6.5, 8, (720, 450)
#: A moment of the demo recording within a sentence, a second after a keyword, s.
MOMENT_S = 9.25
FRAME_S = 0.016
#: Where nobody sees it, a screen with room for the window; a small window.
SCREEN = DOCS.parent / "tests" / "gui" / "screen.json"
SMALL = 1024, 640


class Demo:
    """In the place of an engine: the demo recording, at whatever speed pictures are wanted."""

    settings = None

    def __init__(self) -> None:
        sound, samplerate = soundfile.read(DEMO, dtype="float32")
        self.samplerate = 48000
        places = np.arange(int(len(sound) * self.samplerate / samplerate))
        self._sound = np.interp(places * samplerate / self.samplerate, np.arange(len(sound)), sound)
        self._sound = self._sound.astype(np.float32)
        pipeline = Pipeline(
            self.samplerate, denoiser=DenoiserModel.preset(LIVE_PRESET), spotter=SpotterModel()
        )
        self.board = Board(board_facts(pipeline, kept_s=30.0))
        self._processor = Processor(pipeline, self.board, clock=lambda: 0.0)
        self._place = 0

    def advance(self, until_s: float) -> None:
        """Go on with the sound."""
        block = self.samplerate // 100
        out = np.empty(block, np.float32)
        while (self._place + block) / self.samplerate <= until_s:
            self._processor.process(self._sound[self._place : self._place + block], out)
            self._place += block

    def messages(self) -> list[Any]:
        """There are none."""
        return []

    def change(self, **changes: Any) -> None:
        """Nothing changes."""

    def close(self) -> None:
        """Nothing is to be closed."""


@contextmanager
def opened(theme: str) -> Iterator[Window]:
    """A window as a new user sees it."""
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    window = Window(application)
    window._timer.stop()
    window._warm = True
    window.session.keep(theme=theme, welcomed=False, width=1280, height=800)
    window._dress()
    window._show_page()
    window.resize(1280, 800)
    window.show()
    try:
        yield window
    finally:
        window.session.engine = None
        window.close()


def listen(window: Window) -> Demo:
    """Let it listen to the demo recording."""
    demo = Demo()
    window.session.keep(welcomed=True)
    window.session.engine = demo  # type: ignore[assignment]
    window.session.live.connection = Connection(
        "USB Microphone", "Headphones", demo.samplerate, device_latency_s=(0.01, 0.02)
    )
    window.session._become(State.LISTENING, "listening")
    window.status.health.hide()  # there is no engine to be measured
    return demo


def play(window: Window, demo: Demo, begin_s: float, end_s: float) -> None:
    """Frames of the window while the sound goes on.

    Parameters
    ----------
    window
        Shows it.
    demo
        In the place of an engine.
    begin_s, end_s
        Of the demo recording.
    """
    for now_s in np.arange(begin_s, end_s, FRAME_S):
        demo.advance(float(now_s))
        window.on_frame()
    QApplication.processEvents()


def grab(widget: QWidget) -> Image.Image:
    """A picture of a widget."""
    for _ in range(4):
        QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits()
    assert bits is not None
    rows = np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8)
    rows = rows.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
    return Image.fromarray(rows.reshape(image.height(), image.width(), 3).copy())


def keep(image: Image.Image, name: str) -> None:
    """Write a small PNG."""
    path = PICTURES / f"{name}.png"
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    click.echo(f"{path} {path.stat().st_size // 1024} kB")


def pictures(theme: str) -> None:
    """The window with each panel, all views, and each view alone."""
    with opened(theme) as window:
        keep(grab(window), f"{theme}-welcome")
        demo = listen(window)
        play(window, demo, 0.0, MOMENT_S)
        for number, name in enumerate(("wheel", "bank", "words")):
            window.side.show_tab(number)
            play(window, demo, MOMENT_S, MOMENT_S + FRAME_S)
            keep(grab(window.side.tabs), f"{theme}-{name}")
        window.side.show_tab(0)
        keep(grab(window), f"{theme}-window")
        play_with_one(window)
        keep(grab(window.side.tabs), f"{theme}-play")
        call(window)
        keep(grab(window.side.tabs), f"{theme}-sound")
        window.resize(*SMALL)
        window.side.show_tab(0)
        keep(grab(window), f"{theme}-small")
        window.resize(1280, 800)
        window.side.set_all_views(True)
        play(window, demo, MOMENT_S, MOMENT_S + FRAME_S)
        keep(grab(window), f"{theme}-all")
        sheet = Sheet(window)
        sheet.show()
        keep(grab(sheet), f"{theme}-keys")
        sheet.close()


def play_with_one(window: Window) -> None:
    """One oscillator, driven by a tone beside its resonance."""
    view = window.play_with_one
    window.side.show_panel(view)
    view.show_oscillator(Oscillator(440.0, 0.02))
    view.kind.button(TONE).click()
    view.tone.setValue(view.tone.value() - 6)
    assert view.one
    while view.one.count < SAMPLERATE:
        QApplication.processEvents()
    for _ in range(TEXT_FRAMES):
        view.tick()


def call(window: Window) -> None:
    """As it looks during a call."""
    assert window.session.connection
    window.session.live.connection = replace(
        window.session.connection, virtual_mic="Resonance microphone"
    )
    window.session.keep(virtual_mic=True)
    window.side.show_panel(window.sound)


def recording() -> None:
    """A few seconds of all views."""
    images = []
    with opened("dark") as window:
        demo = listen(window)
        window.side.set_all_views(True)
        play(window, demo, 0.0, BEGIN_S)
        for now_s in np.arange(BEGIN_S, BEGIN_S + LENGTH_S, 1 / RATE):
            play(window, demo, now_s, now_s + 1 / RATE)
            images.append(grab(window).resize(SIZE, Image.Resampling.LANCZOS))
    palette = images[len(images) // 2].quantize(56, dither=Image.Dither.NONE)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    path = PICTURES / "window.gif"
    small[0].save(
        path,
        save_all=True,
        append_images=small[1:],
        duration=round(1000 / RATE),
        loop=0,
        optimize=True,
    )
    click.echo(f"{path} {path.stat().st_size // 1024} kB")


@click.command()
def main() -> None:
    """Draw everything into docs/window."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={SCREEN}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESONANCE_CONFIG"] = str(Path(folder) / "config.toml")
        os.environ["RESONANCE_WORDS"] = str(Path(folder) / "words")
        for theme in ("dark", "light"):
            pictures(theme)
        recording()


if __name__ == "__main__":
    main()
