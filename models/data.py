"""Finding recordings on disk and keeping them ready for mixing.

Four layouts are understood, distinguished by what lies in the folder: an ``index.csv`` (columns
``path, kind, split, speaker, label, seconds, text``), Speech Commands v2, LibriSpeech and
VoiceBank+DEMAND.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from resonance.dsp.identity import TRAINING_SAMPLERATE

Int16Array = NDArray[np.int16]

SAMPLERATE = TRAINING_SAMPLERATE
#: Speakers of VoiceBank's training set that are held out, as is usual.
VOICEBANK_DEV = ("p226", "p287")


class DataError(click.ClickException):
    """A data folder that cannot be used; the message says what was looked for."""


@dataclass(frozen=True)
class Recording:
    """One audio file and what is known of it."""

    path: Path
    kind: str  #: speech, noise, keyword or silence
    split: str  #: train, dev or test; never mixed with each other
    speaker: str = ""
    label: str = ""  #: the word, or the noise's class
    text: str = ""
    minus: Path | None = None  #: recording to subtract (noise alone = noisy - clean)


def find_recordings(folder: Path) -> list[Recording]:
    """Every recording below ``folder``, in a stable order.

    Raises
    ------
    DataError
        If the folder has none of the known layouts, or holds no audio.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that holds training data")
    for marker, reader in (
        ("index.csv", _read_index),
        ("validation_list.txt", _read_speech_commands),
        ("clean_testset_wav", _read_voicebank),
        ("*/*/*/*.trans.txt", _read_librispeech),
    ):
        if next(folder.glob(marker), None) is not None:
            found = sorted(reader(folder), key=lambda r: str(r.path))
            if not found:
                raise DataError(f"{folder} looks right ({marker}) but holds no recordings")
            return found
    raise DataError(
        f"{folder} has none of the known layouts: index.csv, Speech Commands v2 "
        "(validation_list.txt), VoiceBank+DEMAND (clean_testset_wav) or LibriSpeech (*.trans.txt)"
    )


def _read_index(folder: Path) -> Iterator[Recording]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Recording(
                folder / row["path"],
                row["kind"],
                row["split"],
                row.get("speaker", ""),
                row.get("label", ""),
                row.get("text", ""),
            )


def _read_speech_commands(folder: Path) -> Iterator[Recording]:
    splits = {
        line: split
        for split, name in (("dev", "validation_list.txt"), ("test", "testing_list.txt"))
        if (folder / name).exists()
        for line in (folder / name).read_text().split()
    }
    for path in folder.glob("*/*.wav"):
        word = path.parent.name
        if word == "_background_noise_":
            split = "dev" if path.stem == "running_tap" else "train"
            yield Recording(path, "noise", split, label=path.stem)
        else:
            split = splits.get(f"{word}/{path.name}", "train")
            yield Recording(path, "keyword", split, path.name.split("_nohash_")[0], word)


def _read_librispeech(folder: Path) -> Iterator[Recording]:
    for transcript in folder.glob("*/*/*/*.trans.txt"):
        part, speaker = transcript.parents[2].name, transcript.parents[1].name
        split = part.split("-")[0]
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            yield Recording(transcript.parent / f"{name}.flac", "speech", split, speaker, "", text)


def _read_voicebank(folder: Path) -> Iterator[Recording]:
    for clean in folder.glob("clean_*set*_wav/*.wav"):
        speaker = clean.stem.split("_")[0]
        split = "dev" if speaker in VOICEBANK_DEV else "train"
        split = "test" if "testset" in clean.parent.name else split
        yield Recording(clean, "speech", split, speaker)
        noisy = folder / clean.parent.name.replace("clean_", "noisy_") / clean.name
        if noisy.exists():
            yield Recording(noisy, "noise", split, speaker, minus=clean)


def read_mono(path: Path) -> NDArray[np.float32]:
    """One file as mono at 16 kHz [samples]."""
    sound, samplerate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    return mono if samplerate == SAMPLERATE else soxr.resample(mono, samplerate, SAMPLERATE)


def read_recording(recording: Recording) -> NDArray[np.float32]:
    """The recording as mono at 16 kHz [samples]."""
    sound = read_mono(recording.path)
    if recording.minus is None:
        return sound
    clean = read_mono(recording.minus)
    length = min(len(sound), len(clean))
    return sound[:length] - clean[:length]


def chosen(recordings: Sequence[Recording], kind: str, split: str) -> list[Recording]:
    """Recordings of one kind and split.

    Parameters
    ----------
    recordings
        All there are.
    kind
        Such as "speech" or "noise".
    split
        Such as "train" or "dev".

    Returns
    -------
    list of Recording
        In their order.

    Raises
    ------
    DataError
        If there are none.
    """
    found = [r for r in recordings if r.kind == kind and r.split == split]
    if not found:
        raise DataError(
            f"the data hold no {kind} recordings for split {split!r}; name a folder that does, "
            "too (--data may be given several times)"
        )
    return found


def _as_int16(recording: Recording) -> Int16Array:
    sound = np.rint(read_recording(recording) * 32767)
    return np.clip(sound, -32768, 32767).astype(np.int16)


class AudioStore:
    """Decoded recordings, end to end in one int16 array that processes share through a file.

    Parameters
    ----------
    recordings
        What to hold; their order is the store's. May be empty.
    cache
        Folder for the decoded array, about 115 MB for each hour; made if missing.
    """

    def __init__(self, recordings: Sequence[Recording], cache: Path) -> None:
        self.recordings = list(recordings)
        key = "\n".join(
            f"{r.path.resolve()} {r.minus} {r.path.stat().st_size}" for r in self.recordings
        )
        stem = hashlib.sha256(key.encode()).hexdigest()[:16]
        self._files = cache / f"{stem}.samples.npy", cache / f"{stem}.ends.npy"
        if not all(file.exists() for file in self._files):
            cache.mkdir(parents=True, exist_ok=True)
            self._decode()
        self._open()

    def _decode(self) -> None:
        parts = [np.zeros(0, np.int16)]
        with ThreadPoolExecutor() as threads:
            decoded = threads.map(_as_int16, self.recordings)
            parts += tqdm(decoded, "decoding", len(self.recordings), unit="file")
        ends = np.cumsum([len(part) for part in parts])[1:]
        for file, array in zip(self._files, (np.concatenate(parts), ends), strict=True):
            aside = file.with_name(f"{os.getpid()}.{file.name}")
            np.save(aside, array)
            os.replace(aside, file)

    def _open(self) -> None:
        empty = not self.recordings  # an empty file cannot be mapped
        self._samples: Int16Array = np.load(self._files[0], mmap_mode=None if empty else "r")
        self._ends = np.load(self._files[1])

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need to open the same files."""
        return {"recordings": self.recordings, "_files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return len(self.recordings)

    def length(self, index: int) -> int:
        """Samples in recording ``index``."""
        return int(self._ends[index] - (self._ends[index - 1] if index else 0))

    def get(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Samples ``start:stop`` of recording ``index``, float32 of full scale 1 [samples].

        Parameters
        ----------
        index
            Number of the recording.
        start, stop
            First sample, and the one after the last; None: to its end.

        Returns
        -------
        array
            Samples [samples].
        """
        begin = int(self._ends[index]) - self.length(index)
        stop = self.length(index) if stop is None else min(stop, self.length(index))
        part = self._samples[begin + start : begin + stop]
        return np.asarray(part, dtype=np.float32) * np.float32(1 / 32767)
