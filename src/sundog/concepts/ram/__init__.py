"""Recognize Anything (RAM and RAM++): published checkpoints, an implementation of our own."""

from sundog.concepts.ram.load import load_ram
from sundog.concepts.ram.tagger import RamTagger

__all__ = ["RamTagger", "load_ram"]
