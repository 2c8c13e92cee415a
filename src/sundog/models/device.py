"""The device that was asked for, or an error that says this machine has none."""

from __future__ import annotations

import torch

from sundog.core.errors import DeviceError

DEVICES = ("cpu", "auto", "cuda", "mps")


def resolve_device(device: str | torch.device = "cpu") -> torch.device:
    """Return the device; ``"auto"`` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        DeviceError: this machine does not have it.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if str(device) == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DeviceError("device", expected=f"one of {DEVICES}", got=repr(str(device))) from error
    count = torch.cuda.device_count() if cuda else 0
    missing = (
        (found.type == "cuda" and (found.index or 0) >= count)
        or (found.type == "mps" and not mps)
        or found.type not in ("cpu", "cuda", "mps")
    )
    if missing:
        have = [d for d, there in (("cpu", True), ("cuda", cuda), ("mps", mps)) if there]
        raise DeviceError(
            "device",
            expected=f"one that this machine has ({', '.join(have)})",
            got=repr(str(device)),
            hint="Use device='auto' to take the best there is.",
        )
    return found
