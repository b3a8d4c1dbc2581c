"""Transcoding: presets, plans, resumable chunks, two passes for a size, and verification before anything counts."""
