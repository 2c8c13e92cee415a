"""Figures and HTML pages from numbers and arrays; never torch."""
