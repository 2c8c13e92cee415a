"""A hash of an array: two runs with other groups or weights are other runs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_hash(array: NDArray[Any]) -> str:
    """Return 16 hex digits of an array's type, shape and content, for a run's identity."""
    plain = np.ascontiguousarray(array)
    digest = hashlib.blake2b(f"{plain.dtype.str} {plain.shape}".encode(), digest_size=8)
    digest.update(plain.tobytes())
    return digest.hexdigest()
