"""``python -m sundog``: the command line."""

from sundog.cli.main import main

main()
