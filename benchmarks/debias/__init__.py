"""Proof of debiasing: a cue is planted, every method is trained, every test image shown 3 ways."""
