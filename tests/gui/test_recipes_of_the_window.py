"""What CONTRIBUTING.md says about adding to the window is so: a toy of each, by one row."""

from __future__ import annotations

from functools import partial

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QLabel

from resonance.app.actions import ACTIONS, ActionKind
from resonance.app.gui.views.side_views import SIDE_VIEWS, SideView
from resonance.app.gui.views.view import View
from resonance.app.live.messages import Keyword
from resonance.app.spotter import KeywordEvent


class ToyView(View):
    title = "Toy"
    description = "How many frames there were."
    frames = 0

    def take(self, frame):
        self.frames += 1

    def draw(self, painter):
        painter.drawText(20, 20, str(self.frames))


class ToyAction:
    name = "toy"

    def __init__(self, path):
        self.path = path

    def __call__(self, event):
        with open(self.path, "w") as file:
            file.write(event.keyword)

    def close(self):
        pass


@pytest.fixture
def one_row_each():
    """The toys; gone again afterwards."""
    rows = (
        (SIDE_VIEWS, SideView(ToyView, "Toy", "7", (2, 0, 1, 2))),
        (ACTIONS, ActionKind("toy", lambda path, _: partial(ToyAction, path), "", title="Toy")),
    )
    for registry, row in rows:
        registry.append(row)
    yield
    for registry, row in rows:
        registry.remove(row)


def test_a_view_has_a_tab_a_key_a_place_and_its_line_in_the_sheet(qtbot, one_row_each, window):
    toy = window.view(ToyView)
    window.bank.setFocus()
    qtbot.keyClick(window, Qt.Key.Key_7)
    assert window.side.tabs.tabText(window.side.tabs.currentIndex()) == "Toy"
    qtbot.waitUntil(lambda: toy.isVisible() and toy.frames > 0 and toy.paints > 0)
    window.side.show_tab(0)
    assert not toy.isVisible()
    window.side.set_all_views(True)
    assert toy.isVisible()
    assert "Toy" in [action.text() for action in window.menu.pictures.actions()]
    window.commands.show_sheet()
    texts = [made.text() for made in window.commands.sheet.findChildren(QLabel)]
    assert {"<b>7</b>", "toy"} <= set(texts)
    window.commands.sheet.close()


def test_an_action_has_a_field_and_is_kept(qtbot, one_row_each, window, tmp_path):
    field = window.sound.word_actions.fields["toy"]
    assert field.accessibleName() == "Toy"
    field.setText(str(tmp_path / "toy"))
    window.sound.word_actions.apply.click()
    window.session.live.receive(Keyword(KeywordEvent(1.0, "stop", 0.9)))
    qtbot.waitUntil(lambda: (tmp_path / "toy").exists())
    qtbot.waitUntil(lambda: "stop" in (tmp_path / "toy").read_text())
    window.session.kept.save()
    assert type(window.session.kept).load().actions == {"toy": str(tmp_path / "toy")}
