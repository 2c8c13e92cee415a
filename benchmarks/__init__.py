"""Speed and memory of Sundog against named peers, in one run on one machine."""
