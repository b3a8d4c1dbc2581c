"""The guide's `ArchiveManager`: `(success, message, stats)` answers over the archive engine.

Calls run in threads of this process. A calling script already has the rights of its user, so every path is
allowed unless `roots` says otherwise; members of archives stay confined to their destination all the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from engines.errors import TaskdeckError
from engines.model import Json
from engines.operations import ArchiveFormat, reply
from engines.paths import from_uri, to_uri
from engines.settings import Settings
from engines.tasks.foreground import run_foreground

Answer = tuple[bool, str, Json]
"""Success, one message for people, and figures."""


class ArchiveManager:
    """Packs, unpacks and inspects archives.

    Args:
        max_workers: Calls that run at once; each uses all cores by itself.
        roots: Folders that may be touched.
    """

    SUPPORTED_COMPRESS: ClassVar[list[str]] = [member.value for member in ArchiveFormat]
    SUPPORTED_EXTRACT: ClassVar[list[str]] = [*SUPPORTED_COMPRESS, "rar", "gz", "bz2", "xz", "zst", "iso", "cab"]

    def __init__(self, max_workers: int = 4, *, roots: Sequence[str] = ("/",)) -> None:
        self._settings = Settings(roots=tuple(roots))
        self._pool = ThreadPoolExecutor(max_workers, thread_name_prefix="archive")

    async def compress(
        self,
        source_path: str | os.PathLike[str],
        output_path: str | os.PathLike[str],
        format: str = "zip",  # noqa: A002 - the guide's name
        compression_level: int = 6,
    ) -> Answer:
        """Pack a file or folder; an archive that is there already is replaced once the new one is whole.

        Returns:
            Figures: original_size, compressed_size (bytes), compression_ratio (percent saved), time_taken
            (seconds), speed (bytes a second), format, output_path. On failure: code.
        """
        done, message, result = await self._run(
            {
                "op": "zip",
                "path": to_uri(os.fspath(source_path)),
                "output": to_uri(os.fspath(output_path)),
                "format": format,
                "level": compression_level,
                "on_conflict": "overwrite",
            }
        )
        if not done:
            return done, message, result
        return (
            True,
            message,
            {
                "original_size": result["original"],
                "compressed_size": result["packed"],
                "compression_ratio": result["ratio"],
                "time_taken": result["seconds"],
                "speed": result["speed"],
                "format": result["format"],
                "output_path": from_uri(result["path"]),
            },
        )

    async def extract(
        self,
        archive_path: str | os.PathLike[str],
        extract_to: str | os.PathLike[str] | None = None,
        password: str | None = None,
        files: Sequence[str] | None = None,
    ) -> Answer:
        """Unpack an archive, or those members that match the glob patterns `files`.

        Returns:
            Figures: files_extracted, total_size (bytes written by this call), time_taken (seconds), speed
            (bytes a second), destination. On failure: code.
        """
        done, message, result = await self._run(
            {
                "op": "unzip",
                "path": to_uri(os.fspath(archive_path)),
                "destination": None if extract_to is None else to_uri(os.fspath(extract_to)),
                "password": password,
                "files": list(files or ()),
            }
        )
        if not done:
            return done, message, result
        return (
            True,
            message,
            {
                "files_extracted": result["files"],
                "total_size": result["size"],
                "time_taken": result["seconds"],
                "speed": result["size"] / result["seconds"] if result["seconds"] else 0.0,
                "destination": from_uri(result["location"]),
            },
        )

    async def list_zip_contents(self, zip_path: str | os.PathLike[str]) -> Answer:
        """The members of an archive of any format: figures has files, a list of name, size and packed size."""
        done, message, result = await self._run({"op": "zipinfo", "path": to_uri(os.fspath(zip_path))})
        if not done:
            return done, message, result
        members = [
            {"name": m["name"], "size": m.get("size", 0), "compressed_size": m.get("packed")} for m in result["members"]
        ]
        return True, message, {"files": members, "truncated": result["truncated"]}

    async def get_zip_stats(self, zip_path: str | os.PathLike[str]) -> Answer:
        """The totals of an archive of any format.

        Returns:
            Figures: total_files, original_size, compressed_size (bytes), compression_ratio (percent saved),
            format, encrypted. On failure: code.
        """
        done, message, result = await self._run({"op": "zipinfo", "path": to_uri(os.fspath(zip_path))})
        if not done:
            return done, message, result
        return (
            True,
            message,
            {
                "total_files": result["files"],
                "original_size": result["size"],
                "compressed_size": result["packed"],
                "compression_ratio": result["ratio"],
                "format": result["format"],
                "encrypted": result["encrypted"],
            },
        )

    def close(self) -> None:
        """End the threads; calls under way finish first."""
        self._pool.shutdown()

    async def _run(self, op: Json) -> Answer:
        def work() -> Answer:
            try:
                done, result = run_foreground(op, self._settings)
            except TaskdeckError as error:
                return False, error.message, {"code": error.code}
            return True, reply(done, result).render(emoji=True), result

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
