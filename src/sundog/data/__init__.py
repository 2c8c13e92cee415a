"""Image sets, embedded sets, transforms and planted cues."""
