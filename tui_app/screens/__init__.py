"""Screens of the TUI, one a file."""
