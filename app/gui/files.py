"""The panel for files: drop them, look and listen, clean those that are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QDesktopServices
from PyQt6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from resonance.app.gui.cleaning import (
    CANCELLED,
    DONE,
    FAILED,
    NEW,
    WAITING,
    WORKING,
    Cleaner,
    CleaningJob,
    free_target,
)
from resonance.app.gui.controls import Slider
from resonance.app.gui.widgets import Scrolled, button, label, row
from resonance.app.gui.window_session import WindowSession
from resonance.app.live.generator import SWEEP_HZ, TONE
from resonance.app.soundfiles.writer import FORMATS

#: Steps of the sliders for a place and for a tone.
STEPS = 10_000
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
    """A place to drop files, and the list of them. Nothing is written before it is asked for."""

    play_wanted = pyqtSignal(object)  #: Path
    chosen = pyqtSignal(object)  #: list of Path, from the dialog

    def __init__(self, session: WindowSession, cleaner: Cleaner) -> None:
        super().__init__()
        self.session, self.cleaner = session, cleaner
        self._rows: dict[CleaningJob, _Row] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 8, 4, 4)
        column.setSpacing(10)
        zone = QFrame()
        zone.setProperty("card", True)
        inside = QVBoxLayout(zone)
        inside.setContentsMargins(18, 18, 18, 18)
        title = label("Drop sound files here", "heading")
        title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        hint = label("", "muted")
        hint.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._hint = hint
        self.open = button("Open files…", self.ask_for_files, "Ctrl+O", "primary")
        self.folder = button("Put cleaned files elsewhere…", self._choose_folder)
        self.beside = button("Beside the originals", partial(self._put_into, ""))
        inside.addWidget(title)
        inside.addWidget(hint)
        self.clean_all = button("Clean all", self.clean_new, "Clean all that are listed", "primary")
        inside.addLayout(row(1, self.open, self.clean_all, 1))
        inside.addLayout(row(1, self.folder, 1))
        inside.addLayout(row(1, self.beside, 1))
        column.addWidget(zone)
        self._list = Scrolled()
        self._list.setAccessibleName("Files to be cleaned")
        self._list.column.addStretch(1)
        column.addWidget(self._list, 1)
        self._show_folder()

    def ask_for_files(self) -> None:
        """Let people choose files."""
        names, _ = QFileDialog.getOpenFileNames(self, "Sound files", "", FILTER)
        if names:
            self.chosen.emit([Path(name) for name in names])

    def add(self, paths: Sequence[Path]) -> list[CleaningJob]:
        """List files, and all in folders, but none that is listed already; returns the new jobs.

        They are cleaned when somebody asks for it.
        """
        folder = Path(self.session.kept.clean_to) if self.session.kept.clean_to else None
        jobs = self.cleaner.jobs
        taken = {job.target for job in jobs}
        waiting = {job.source for job in jobs if job.state in (NEW, WAITING, WORKING)}
        made = []
        for path in dict.fromkeys(sound_files(paths)):
            if path not in waiting:
                target = free_target(path, folder, taken)
                taken.add(target)
                made.append(self._queue(path, target, NEW))
        self.show_jobs()
        return made

    def clean(self, source: Path, target: Path) -> None:
        """Put one file into the queue; the name was chosen, whatever it may replace."""
        self._queue(source, target, WAITING).overwrite = target.exists()
        self.show_jobs()

    def clean_new(self) -> None:
        """Clean all that nobody has asked for yet."""
        for job in [job for job in self.cleaner.jobs if job.state == NEW]:
            self.ask(job)
        self.show_jobs()

    def ask(self, job: CleaningJob) -> None:
        """Clean a listed file, with the settings of now, to a name that is free now."""
        kept = self.session.kept
        job.preset, job.limit_db = kept.preset, kept.limit_db
        folder = Path(kept.clean_to) if kept.clean_to else None
        taken = {other.target for other in self.cleaner.jobs if other is not job}
        job.target, job.state = free_target(job.source, folder, taken), WAITING

    def _queue(self, source: Path, target: Path, state: str) -> CleaningJob:
        kept = self.session.kept
        job = CleaningJob(source, target, kept.preset, kept.limit_db, state=state)
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
        self._hint.setText(f"Look and listen first. Clean files are saved {where}.")
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
        self.clean_all.setEnabled(any(job.state == NEW for job in jobs))

    def rows(self) -> list[_Row]:
        """One for each job, oldest first."""
        return list(self._rows.values())

    def tick(self) -> None:
        """Let the queue go on."""
        for job in self.cleaner.tick():
            self._rows[job].show_job()


class _Row(QFrame):
    """A job: its name, how far it is, what can be done with it."""

    def __init__(self, job: CleaningJob, panel: FilesPanel) -> None:
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
        self.clean = button("Clean", self._and_show(partial(panel.ask, job)), "Save it cleaned")
        self.cancel = button("Cancel", self._and_show(partial(cleaner.cancel, job)))
        self.retry = button("Retry", self._and_show(partial(cleaner.retry, job)))
        self.show_folder = button("Show in folder", self._open_folder)
        self.remove = button("✕", self._and_show(partial(cleaner.remove, job)), "Forget this row")
        self.remove.setAccessibleName(f"Forget {job.source.name}")
        column.addLayout(row(self._name, self.remove))
        column.addWidget(self._bar)
        column.addWidget(self._text)
        column.addLayout(row(self.play, self.clean, self.show_folder, self.cancel, self.retry, 1))
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
        """Show the state."""
        job = self.job
        self._bar.setValue(round(1000 * job.share))
        self._bar.setVisible(job.state == WORKING)
        self._text.setText(
            {
                NEW: "not cleaned yet",
                WAITING: "waits its turn",
                WORKING: f"{100 * job.share:.0f} % cleaned{_left(job.left_s)}",
                DONE: " ".join([f"{job.text} → {job.target.name}", *job.warnings]),
            }.get(job.state, job.text)
        )
        self.clean.setVisible(job.state == NEW)
        self.cancel.setVisible(job.state in (WAITING, WORKING))
        self.retry.setVisible(job.state in (FAILED, CANCELLED))
        self.show_folder.setVisible(job.state == DONE)
        self.play.setVisible(job.state != FAILED)
        self.remove.setVisible(job.state not in (WORKING,))


class PlayerBar(QFrame):
    """Pause, seek, save, and back to the microphone, while a file or a tone is played."""

    save_wanted = pyqtSignal(object)  #: Path

    def __init__(self, session: WindowSession) -> None:
        super().__init__()
        self.session = session
        self.setProperty("card", True)
        self.pause = button("Pause", session.toggle, "Space")
        self.place = Slider("Place in the file", 0, STEPS)
        self.place.sliderMoved.connect(self._seek)
        self.place.actionTriggered.connect(lambda _: self._seek(self.place.sliderPosition()))
        self.tone = Slider("Frequency of the tone", 0, STEPS)
        self.tone.valueChanged.connect(self._choose_tone)
        self._name, self._time = QLabel(), QLabel()
        self._time.setProperty("role", "muted")
        self.save = button("Save cleaned…", self._ask_where, "Clean the whole file (Ctrl+S)")
        self.back = button("Back to the microphone", session.end_playing, "Escape")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.addLayout(row(self._name, 1, self._time, self.save, self.back))
        column.addLayout(row(self.pause, self.place, self.tone))
        session.source_changed.connect(self.show_source)
        self.show_source()

    def show_source(self) -> None:
        """There is a file, or a tone, or none."""
        session = self.session
        self.setVisible(session.player is not None)
        for widget in (self.place, self.save):
            widget.setVisible(session.file is not None)
        self.tone.setVisible(session.generator is not None)
        if session.player:
            self._name.setText(session.player.name)
            self.tick()

    def tick(self) -> None:
        """Follow the player."""
        player, file, generator = (
            self.session.player,
            self.session.file,
            self.session.generator,
        )
        if player:
            self.pause.setText("Pause" if player.phase == "playing" else "Play")
        if file:
            if not self.place.isSliderDown():
                self.place.setValue(round(STEPS * file.place_s / file.length_s))
            self._time.setText(f"{_clock(file.place_s)} of {_clock(file.length_s)}")
        if generator:
            self._time.setText(f"{generator.tone_hz:.0f} Hz")
            self.tone.setEnabled(generator.kind == TONE)
            with QSignalBlocker(self.tone):
                self.tone.setValue(_step_of(generator.tone_hz))

    def _seek(self, place: int) -> None:
        file = self.session.file
        if file:
            file.seek(place / STEPS * file.length_s)

    def _choose_tone(self, step: int) -> None:
        low, high = SWEEP_HZ
        if self.session.generator:
            self.session.generator.tone_hz = low * (high / low) ** (step / STEPS)

    def _ask_where(self) -> None:
        file = self.session.file
        if not file:
            return
        suggested = str(free_target(file.path, None))
        name, _ = QFileDialog.getSaveFileName(self, "Save the cleaned file", suggested, FILTER)
        if name:
            self.save_wanted.emit(Path(name))


def _step_of(hz: float) -> int:
    """Of the slider for the tone."""
    low, high = SWEEP_HZ
    return round(STEPS * math.log(hz / low) / math.log(high / low))


def _left(seconds: float | None) -> str:
    """Time that is left, in words; empty while it is not known."""
    if seconds is None:
        return ""
    return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
