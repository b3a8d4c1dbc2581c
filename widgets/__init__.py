"""Textual widgets: one a file, knowing the words of the engine and none of its services."""
