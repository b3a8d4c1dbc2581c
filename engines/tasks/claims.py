"""Removal of claimed temporary paths: files and trees, never through a link."""

from __future__ import annotations

import logging
import os

from engines import files
from engines.names import display

log = logging.getLogger(__name__)


def remove_quietly(path: str | bytes) -> None:
    """Remove a claimed path; what is not there is fine, what cannot be removed is logged, not fatal."""
    try:
        files.remove(os.fsdecode(path))
    except OSError as error:
        log.warning("left-over %s could not be removed: %s", display(path), error)
