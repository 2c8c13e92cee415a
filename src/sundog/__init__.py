"""Sundog: find, explain, confirm and repair bias in image classifiers."""

__version__ = "0.1.0"
