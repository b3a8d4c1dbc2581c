"""The feature guide's Python classes, for people who script against them: thin facades over the engines."""
