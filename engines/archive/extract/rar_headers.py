"""What a RAR archive holds, by `rarfile`: members, links and comments; no program is needed for a listing."""

from __future__ import annotations

import calendar
import os
import stat
import time
from datetime import datetime

from engines.archive.extract import sevenzip
from engines.archive.extract.run import Run
from engines.archive.member import SECOND, Listing, Member, MemberKind
from engines.archive.passwords import wrong
from engines.errors import TaskdeckError
from engines.names import display


def listing(run: Run) -> Listing:
    """All members, by rarfile; by 7zz when names are encrypted and no cipher library is there.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`, `archive.damaged`, `archive.volume`.
    """
    import rarfile

    name = display(run.found.path.name)
    what = f"cannot read '{name}'"
    for password in run.passwords or (None,):
        try:
            with rarfile.RarFile(str(run.found.volumes[0])) as archive:
                if archive.needs_password() and password is not None:
                    archive.setpassword(password)
                members = [_member(item) for item in archive.infolist()]
                if archive.needs_password() and not members:
                    return sevenzip.listing(run)
                comment = archive.comment or ""
                solid = archive.is_solid()
            return Listing(
                run.found.format,
                members,
                len(run.found.volumes),
                any(member.encrypted for member in members),
                solid,
                comment,
            )
        except rarfile.RarWrongPassword:
            continue
        except (rarfile.NoCrypto, rarfile.PasswordRequired, rarfile.UnsupportedWarning):
            return sevenzip.listing(run)
        except rarfile.NeedFirstVolume:
            raise TaskdeckError("archive.volume", what, "the first volume is missing") from None
        except (rarfile.Error, OSError, ValueError, EOFError, IndexError, KeyError) as error:
            if run.found.offset:
                return sevenzip.listing(run)
            raise TaskdeckError(
                "archive.damaged", what, "its headers are damaged or cut off", "get it again", detail=str(error)
            ) from None
    raise wrong(what, len(run.passwords))


def _member(item: object) -> Member:
    get = item.__getattribute__
    mode = get("mode") or 0
    kind = MemberKind.FILE
    link = ""
    redirect = getattr(item, "file_redir", None)
    if get("is_dir")():
        kind = MemberKind.FOLDER
    elif get("is_symlink")():
        kind = MemberKind.SYMLINK
        link = redirect[2] if redirect else ""
    elif redirect and redirect[0] in (4, 5):  # hard link, copy
        kind, link = MemberKind.HARDLINK, redirect[2]
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = MemberKind.SPECIAL
    crc = get("CRC")
    return Member(
        get("filename").rstrip("/"),
        kind,
        get("file_size") or 0,
        get("compress_size") or 0,
        _nanoseconds(get("mtime")),
        stat.S_IMODE(mode) if mode and get("host_os") == 3 else None,
        os.fsdecode(link),
        get("needs_password")(),
        crc if isinstance(crc, int) else None,
    )


def _nanoseconds(moment: datetime | None) -> int | None:
    """Nanoseconds since the epoch; rarfile's own kind of moment knows more digits than Python's."""
    if moment is None:
        return None
    seconds = calendar.timegm(moment.utctimetuple()) if moment.tzinfo else int(time.mktime(moment.timetuple()))
    return seconds * SECOND + int(getattr(moment, "nanosecond", moment.microsecond * 1000))
