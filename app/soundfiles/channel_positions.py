"""Which loudspeaker each channel of a WAV file is for, and the valid bits of its samples."""

from __future__ import annotations

import struct
from typing import BinaryIO

from resonance.app.soundfiles.chunks import (
    Family,
    chunks,
    content_of,
)


def positions(file: BinaryIO, family: Family) -> tuple[int | None, int | None]:
    """The channels' positions (a mask) and the valid bits, where an extensible header says them."""
    for chunk in chunks(file, family):
        if chunk.name == b"fmt " and chunk.size >= 40:
            content = content_of(file, chunk)
            tag, _, _, _, _, bits, _, valid, mask = struct.unpack("<HHIIHHHHI", content[:24])
            if tag == 0xFFFE:
                return mask, valid if 0 < valid < bits else None
        if chunk.name in (b"fmt ", family.sound):
            break
    return None, None


def set_positions(file: BinaryIO, family: Family, mask: int | None, valid_bits: int | None) -> bool:
    """Write positions and valid bits into an extensible header; whether there is one.

    Parameters
    ----------
    file
        Open for reading and writing, binary.
    family
        How the chunks of this kind of file are laid out.
    mask
        Loudspeaker positions, as WAVE_FORMAT_EXTENSIBLE counts them.
    valid_bits
        Of each sample.

    Returns
    -------
    bool
        Whether there is such a header.
    """
    for chunk in chunks(file, family):
        if chunk.name == b"fmt ":
            content = content_of(file, chunk)
            if chunk.size < 40 or content[:2] != b"\xfe\xff":
                return False
            if mask is not None:
                file.seek(chunk.body + 20)
                file.write(struct.pack("<I", mask))
            if valid_bits is not None:
                file.seek(chunk.body + 18)
                file.write(struct.pack("<H", valid_bits))
            return True
    return False
