"""The review: people judge an inspection's findings, in a browser or a terminal; no torch."""
