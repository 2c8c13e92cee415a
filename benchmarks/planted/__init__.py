"""Planted bias: models that learned a cue whose truth is known, and what the tools find."""
