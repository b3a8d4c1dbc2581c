"""The feature guide's Python classes, for people who script against them: thin facades over the engines."""

from engines.compat.archive import ArchiveManager
from engines.compat.media import MediaInfoExtractor

__all__ = ["ArchiveManager", "MediaInfoExtractor"]
