"""The panel for files: drop them, clean them one after the other, play them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PyQt6.QtCore import Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QDesktopServices
from PyQt6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLabel,
    QProgressBar,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from resonance.app.gui.cleaning import (
    CANCELLED,
    DONE,
    FAILED,
    WAITING,
    WORKING,
    Cleaner,
    Job,
    free_target,
)
from resonance.app.gui.session import Session
from resonance.app.gui.widgets import Scrolled, button, label, row
from resonance.app.soundfiles.writer import FORMATS

#: What file dialogs offer.
FILTER = f"Sound ({' '.join(f'*{ending}' for ending in FORMATS)});;All files (*)"


def sound_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and those sound files that lie in the folders, at any depth."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in FORMATS)
            found += [p for p in inside if p.is_file()]
        else:
            found.append(path)
    return found


class FilesPanel(QWidget):
    """A place to drop files, and the queue."""

    play_wanted = pyqtSignal(object)  #: Path

    def __init__(self, session: Session, cleaner: Cleaner) -> None:
        super().__init__()
        self.session, self.cleaner = session, cleaner
        self._rows: dict[Job, _Row] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 8, 4, 4)
        column.setSpacing(10)
        zone = QFrame()
        zone.setProperty("card", True)
        inside = QVBoxLayout(zone)
        inside.setContentsMargins(18, 18, 18, 18)
        title = label("Drop sound files here", "heading")
        title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        hint = label("They are cleaned one after the other, beside the originals.", "muted")
        hint.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._hint = hint
        self.open = button("Open files…", self.ask_for_files, "Ctrl+O", "primary")
        self.folder = button("Put cleaned files elsewhere…", self._choose_folder)
        self.beside = button("Beside the originals", partial(self._put_into, ""))
        inside.addWidget(title)
        inside.addWidget(hint)
        inside.addLayout(row(1, self.open, 1))
        inside.addLayout(row(1, self.folder, 1))
        inside.addLayout(row(1, self.beside, 1))
        column.addWidget(zone)
        self._list = Scrolled()
        self._list.setAccessibleName("Files to be cleaned")
        self._list.column.addStretch(1)
        column.addWidget(self._list, 1)
        self._show_folder()

    def ask_for_files(self) -> None:
        """Let people choose files to clean."""
        names, _ = QFileDialog.getOpenFileNames(self, "Sound files to clean", "", FILTER)
        self.add([Path(name) for name in names])

    def add(self, paths: Sequence[Path]) -> list[Job]:
        """Clean files, and all in folders, but none that waits already; returns the new jobs."""
        folder = Path(self.session.kept.clean_to) if self.session.kept.clean_to else None
        jobs = self.cleaner.jobs
        taken = {job.target for job in jobs}
        waiting = {job.source for job in jobs if job.state in (WAITING, WORKING)}
        made = []
        for path in dict.fromkeys(sound_files(paths)):
            if path not in waiting:
                target = free_target(path, folder, taken)
                taken.add(target)
                made.append(self._queue(path, target))
        self.show_jobs()
        return made

    def clean(self, source: Path, target: Path) -> None:
        """Put one file into the queue; the name was chosen, whatever it may replace."""
        self._queue(source, target).overwrite = target.exists()
        self.show_jobs()

    def _queue(self, source: Path, target: Path) -> Job:
        limit_db = self.session.kept.limit_db
        job = Job(source, target, self.session.kept.preset, None if limit_db < 0 else limit_db)
        self.cleaner.add(job)
        return job

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for cleaned files")
        if chosen:
            self._put_into(chosen)

    def _put_into(self, folder: str) -> None:
        self.session.keep(clean_to=folder)
        self._show_folder()

    def _show_folder(self) -> None:
        folder = self.session.kept.clean_to
        where = f"in {folder}" if folder else "beside the originals"
        self._hint.setText(f"They are cleaned one after the other, {where}.")
        self.beside.setVisible(bool(folder))

    def show_jobs(self) -> None:
        """Bring the rows up to date."""
        jobs = self.cleaner.jobs
        for job in jobs:
            if job not in self._rows:
                made = self._rows[job] = _Row(job, self)
                self._list.column.insertWidget(0, made)
        for job in self._rows.keys() - set(jobs):
            self._rows.pop(job).deleteLater()
        for made in self._rows.values():
            made.show_job()

    def rows(self) -> list[_Row]:
        """One for each job, oldest first."""
        return list(self._rows.values())

    def tick(self) -> None:
        """Let the queue go on."""
        for job in self.cleaner.tick():
            self._rows[job].show_job()


class _Row(QFrame):
    """A job: its name, how far it is, what can be done with it."""

    def __init__(self, job: Job, panel: FilesPanel) -> None:
        super().__init__()
        self.job, self._panel = job, panel
        self.setProperty("card", True)
        self.setAccessibleName(job.source.name)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        self._name = QLabel(job.source.name)
        self._name.setWordWrap(True)
        self._text = label("", "muted")
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setAccessibleName(f"Progress of {job.source.name}")
        cleaner = panel.cleaner
        self.play = button(
            "Play", partial(panel.play_wanted.emit, job.source), "Play it, cleaned or as it came"
        )
        self.cancel = button("Cancel", self._and_show(partial(cleaner.cancel, job)))
        self.retry = button("Retry", self._and_show(partial(cleaner.retry, job)))
        self.show_folder = button("Show in folder", self._open_folder)
        self.remove = button("✕", self._and_show(partial(cleaner.remove, job)), "Forget this row")
        self.remove.setAccessibleName(f"Forget {job.source.name}")
        column.addLayout(row(self._name, self.remove))
        column.addWidget(self._bar)
        column.addWidget(self._text)
        column.addLayout(row(self.play, self.show_folder, self.cancel, self.retry, 1))
        self._name.setSizePolicy(self._text.sizePolicy())
        self.show_job()

    def _and_show(self, action: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            action()
            self._panel.show_jobs()

        return act

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.job.target.parent)))

    def show_job(self) -> None:
        """Say how it stands."""
        job = self.job
        self._bar.setValue(round(1000 * job.share))
        self._bar.setVisible(job.state == WORKING)
        self._text.setText(
            {
                WAITING: "waits its turn",
                WORKING: f"{100 * job.share:.0f} % cleaned",
                DONE: " ".join([f"{job.text} → {job.target.name}", *job.warnings]),
            }.get(job.state, job.text)
        )
        self.cancel.setVisible(job.state in (WAITING, WORKING))
        self.retry.setVisible(job.state in (FAILED, CANCELLED))
        self.show_folder.setVisible(job.state == DONE)
        self.play.setVisible(job.state != FAILED)
        self.remove.setVisible(job.state not in (WORKING,))


class PlayerBar(QFrame):
    """Pause, seek, save, and back to the microphone, while a file is played."""

    save_wanted = pyqtSignal(object)  #: Path

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setProperty("card", True)
        self.pause = button("Pause", session.toggle, "Space")
        self.place = QSlider(Qt.Orientation.Horizontal)
        self.place.setRange(0, 10_000)
        self.place.setAccessibleName("Place in the file")
        self.place.sliderMoved.connect(self._seek)
        self.place.actionTriggered.connect(lambda _: self._seek(self.place.sliderPosition()))
        self._name, self._time = QLabel(), QLabel()
        self._time.setProperty("role", "muted")
        self.save = button("Save cleaned…", self._ask_where, "Clean the whole file (Ctrl+S)")
        self.back = button("Back to the microphone", session.end_playing, "Escape")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.addLayout(row(self._name, 1, self._time, self.save, self.back))
        column.addLayout(row(self.pause, self.place))
        session.source_changed.connect(self.show_source)
        self.show_source()

    def show_source(self) -> None:
        """There is a file, or there is none."""
        player = self.session.player
        self.setVisible(player is not None)
        if player:
            self._name.setText(f"Playing {player.path.name}")
            self.tick()

    def tick(self) -> None:
        """Follow the player."""
        player = self.session.player
        if not player:
            return
        if not self.place.isSliderDown():
            self.place.setValue(round(10_000 * player.place_s / player.length_s))
        self._time.setText(f"{_clock(player.place_s)} of {_clock(player.length_s)}")
        self.pause.setText("Play" if player.paused or player.at_end else "Pause")

    def _seek(self, place: int) -> None:
        player = self.session.player
        if player:
            player.seek(place / 10_000 * player.length_s)

    def _ask_where(self) -> None:
        player = self.session.player
        if not player:
            return
        suggested = str(free_target(player.path, None))
        name, _ = QFileDialog.getSaveFileName(self, "Save the cleaned file", suggested, FILTER)
        if name:
            self.save_wanted.emit(Path(name))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
