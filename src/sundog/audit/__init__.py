"""Runs that join the rooms: image set + classifier + methods -> run folder."""
