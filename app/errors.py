"""Errors that end in a sentence for the user instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: says what was wrong, its value, and what to do."""


class ModelError(UserError):
    """A model file that cannot be used."""


class AudioFileError(UserError):
    """An audio file that cannot be read or written."""


class DeviceError(UserError):
    """An audio device that cannot be found or opened."""


class StuckError(DeviceError):
    """A device that neither works nor lets go: only the end of the process helps."""
