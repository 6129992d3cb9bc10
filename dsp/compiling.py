"""numba with a cache that stays right: it lies in a folder named after these sources.

By itself numba compiles a function anew when its own file changes, and keeps the old machine code
when only another file changes whose functions it calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import platformdirs

#: Their types say too little for what follows.
_njit: Any = numba.njit
_config: Any = numba.config


def compiled(signature: str | None = None, **options: Any) -> Callable[[Any], Any]:
    """Compile a function, cached on disk where a place for that can be written.

    Parameters
    ----------
    signature
        Compile for exactly this one, at import; None: for the types of each first call.
    options
        Of ``numba.njit``.

    Returns
    -------
    callable
        The decorator.
    """

    def compile_function(function: Any) -> Any:
        before = _config.CACHE_DIR
        try:
            _config.CACHE_DIR = str(_folder(before))
            return _njit(signature, cache=True, **options)(function)
        except RuntimeError:  # read-only installation and no home folder
            return _njit(signature, **options)(function)
        finally:
            _config.CACHE_DIR = before

    return compile_function


@cache
def _folder(chosen: str) -> Path:
    """Below the folder that the user chose for numba, or this program's own."""
    sources = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(file.read_bytes())
    base = Path(chosen) if chosen else platformdirs.user_cache_path("resonance") / "compiled"
    return base / sources.hexdigest()[:16]
