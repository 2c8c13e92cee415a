"""The files that one audit writes, as records: JSON in and out, no torch."""
