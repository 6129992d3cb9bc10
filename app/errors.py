"""Errors that end in a sentence for the user instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: says what was wrong, its value, and what to do."""

    exit_code = 1  #: of a command that ends with it


class WrongUsage(UserError):  # noqa: N818 (it is no error of the program)
    """An option or argument that makes no sense."""

    exit_code = 2


class ModelError(UserError):
    """A model file that cannot be used."""


class AudioFileError(UserError):
    """An audio file that cannot be read or written."""


class DeviceError(UserError):
    """An audio device that cannot be found or opened."""


class StuckError(DeviceError):
    """A device that neither works nor lets go: only the end of the process helps."""
