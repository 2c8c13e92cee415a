"""The command line: parses arguments and calls the rooms; no logic."""
