"""Every error that Sundog raises on purpose, in one tree.

::

    SundogError
    ├── InputError (ValueError)            an argument or an image is not what the function needs
    │   ├── UnknownNameError (KeyError)    a name that is not in a table; suggests the nearest
    │   ├── LayerError                     a layer that does not exist, does not run, or has no map
    │   └── DataError                      a folder, manifest or image set that cannot be used
    ├── ModelStateError (RuntimeError)     train mode, no gradient, wrong checkpoint
    │   └── CheckpointError
    ├── RunFolderError (RuntimeError)      a run folder that is broken or belongs to something else
    ├── DeviceError (RuntimeError)         a device that this machine does not have
    └── MissingExtraError (ImportError)    an optional dependency that is not installed

Every message has one form: what must hold, what came (shape, dtype, range; never tensor contents),
and what to try.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class SundogError(Exception):
    """Root of all errors that Sundog raises on purpose."""

    def __init__(self, subject: str, *, expected: str = "", got: str = "", hint: str = "") -> None:
        """Build the message ``<subject> must be <expected>; got <got>. <hint>``."""
        text = subject
        if expected:
            text += f" must be {expected}"
        if got:
            text += f"; got {got}"
        if not text.endswith("."):
            text += "."
        if hint:
            text += f" {hint}"
        super().__init__(text)
        self.message = text

    def __str__(self) -> str:
        return self.message


class InputError(SundogError, ValueError):
    """An argument or an image is not what the function needs."""


class UnknownNameError(InputError, KeyError):
    """A name that is not in a table; the message lists the nearest names."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        """Suggest the nearest of ``known``, or list them when none is near."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            suggestion = "Did you mean " + " or ".join(repr(n) for n in near) + "?"
        else:
            shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
            suggestion = f"Known: {shown}." if names else "None is known."
        super().__init__(
            what,
            expected="a known name",
            got=repr(name),
            hint=f"{suggestion} {hint}".strip(),
        )


class LayerError(InputError):
    """A layer that does not exist, does not run in the forward pass, or has no feature map."""


class DataError(InputError):
    """A folder, manifest or image set that cannot be used."""


class ModelStateError(SundogError, RuntimeError):
    """A model in a state in which the answer would be wrong."""


class CheckpointError(ModelStateError):
    """A checkpoint that cannot be read or does not fit the network."""


class RunFolderError(SundogError, RuntimeError):
    """A run folder that is broken, half-written or belongs to another run."""


class DeviceError(SundogError, RuntimeError):
    """A device that this machine does not have."""


class MissingExtraError(SundogError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        """Say which extra brings ``package`` and what it is needed for."""
        super().__init__(
            f"{purpose}: the package {package!r} is needed and not installed",
            hint=f"Try: pip install 'sundog[{extra}]'",
        )


def first_line(error: BaseException, limit: int = 160) -> str:
    """Return the kind and the first line of a foreign error, for the ``got`` of ours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # colours of the terminal
    plain = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", plain)
    lines = plain.strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:limit]}" if lines else type(error).__name__
