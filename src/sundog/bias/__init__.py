"""Which model is biased: statistics on predictions with and without a cue."""
