"""Keeping libraries off the network unless a download was asked for, and their loading quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hub_offline(*, download: bool) -> Iterator[None]:
    """Let Hugging Face libraries read their cache alone, whatever name they come across.

    Nothing else is changed, and the switch is put back afterwards, also after an error.

    Args:
        download: True leaves everything as it is.
    """
    if download:
        yield
        return
    try:
        from huggingface_hub import constants as found
    except ImportError:  # then nothing can be fetched from the hub
        yield
        return
    constants: Any = found
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def no_root_handler() -> Iterator[None]:
    """Keep ``logging.info`` of a library from installing a handler for the whole program."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)
