"""Many arrays as one argument of compiled functions.

Each array that Python hands to a compiled function costs 0.15 µs, several times as much where
caches are cold, and a denoiser at work needs a hundred. Packed once, all together cost 1 µs. They
stay the same arrays: what either side writes the other reads.
"""

from __future__ import annotations

from typing import Any

import numba.experimental.structref
from numba.core import types

from resonance.dsp.compiling import compiled

#: Its types say too little for what follows.
structref: Any = numba.experimental.structref


@structref.register
class _PackedType(types.StructRef):
    """Type of a :class:`Packed`, by what it holds."""


class Packed(structref.StructRefProxy):  # type: ignore[misc]
    """Arrays and numbers, in tuples: ``content`` in compiled functions, nothing for Python."""


structref.define_constructor(Packed, _PackedType, ["content"])
structref.define_attributes(_PackedType)
structref.define_boxing(_PackedType, Packed)


@compiled()
def pack(content: Any) -> Any:
    """Pack a tuple of arrays, numbers and such tuples; compiled for each kind of content.

    Parameters
    ----------
    content
        The tuple.

    Returns
    -------
    Packed
        For other compiled functions.
    """
    return Packed(content)
