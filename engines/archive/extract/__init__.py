"""Unpacking: one module a family of formats, all writing through `engines.archive.containment`."""
