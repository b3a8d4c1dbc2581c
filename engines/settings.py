"""The one typed model of settings. `tui_app.config` fills it from a TOML file, the environment and flags.

Every field has a description; `taskdeck config` and `docs/configuration.md` are made from them.
Sizes are bytes, times seconds. Paths are absolute or empty for "automatic".
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Annotated, Final

import msgspec
from msgspec import Meta

GIB: Final = 1 << 30


def _doc(text: str, *, ge: float | None = None, le: float | None = None, gt: float | None = None) -> Meta:
    if gt is not None:
        return Meta(description=text, gt=gt, le=le)
    return Meta(description=text, ge=ge, le=le)


class TasksSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The queue and the job processes."""

    parallel_info: Annotated[int, _doc("Quick look-ups that run at once.", ge=1, le=64)] = 2
    parallel_compress: Annotated[int, _doc("Archives packed at once.", ge=1, le=64)] = 1
    parallel_extract: Annotated[int, _doc("Archives unpacked at once.", ge=1, le=64)] = 1
    parallel_media: Annotated[int, _doc("Thumbnails, tests and metadata edits at once.", ge=1, le=64)] = 1
    parallel_transcode: Annotated[int, _doc("Transcodes at once.", ge=1, le=64)] = 1
    parallel_download: Annotated[int, _doc("Downloads at once.", ge=1, le=64)] = 3
    parallel_upload: Annotated[int, _doc("Uploads at once.", ge=1, le=64)] = 2
    warm_workers: Annotated[int, _doc("Idle job processes kept ready (about 20 MB each).", ge=0, le=8)] = 1
    nice: Annotated[int, _doc("Niceness of job processes.", ge=0, le=19)] = 10
    ionice: Annotated[str, _doc("IO class of job processes: none, best-effort or idle.")] = "best-effort"
    memory_limit: Annotated[int, _doc("Address space of a job process in bytes, 0 for no limit.", ge=0)] = 0
    cancel_grace: Annotated[float, _doc("Seconds a cancelled job has to tidy up.", ge=0, le=60)] = 0.15
    stall_timeout: Annotated[float, _doc("Seconds without a sign of life before a job fails; 0 never.", ge=0)] = 0
    max_attempts: Annotated[int, _doc("Tries of a job that crashed or met a passing fault.", ge=1, le=100)] = 3
    retry_first: Annotated[float, _doc("Seconds before the first retry; doubles each time.", ge=0)] = 2.0
    retry_cap: Annotated[float, _doc("Longest wait before a retry in seconds.", ge=0)] = 300.0
    frozen_minutes: Annotated[
        float, _doc("Minutes a paused job keeps its memory; then only its checkpoint stays. 0: at once.", ge=0)
    ] = 60.0
    disk_floor: Annotated[int, _doc("Free bytes below which jobs that write pause by themselves.", ge=0)] = GIB // 2
    keep_days: Annotated[int, _doc("Days finished tasks stay in the history; 0 for ever.", ge=0)] = 0
    keep_tasks: Annotated[int, _doc("Finished tasks kept in the history at most; 0 for no limit.", ge=0)] = 0
    log_lines: Annotated[int, _doc("Log lines kept for each task.", ge=10)] = 1000


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Packing and unpacking."""

    default_format: Annotated[str, _doc("Format of `zip` when none is given.")] = "zip"
    default_level: Annotated[int, _doc("Level of `zip` when none is given.", ge=0, le=9)] = 6
    temp_dir: Annotated[str, _doc("Folder for scratch files; outputs are always staged beside their target.")] = ""
    threads: Annotated[int, _doc("Compression threads; 0 for one a core.", ge=0, le=256)] = 0
    max_bytes: Annotated[int, _doc("Bytes one archive may unpack to; 0 for no limit.", ge=0)] = 0
    max_ratio: Annotated[
        int, _doc("Bytes unpacked for each packed byte of an entry over 1 MB; 0 for no limit.", ge=0)
    ] = 2000
    max_entries: Annotated[int, _doc("Members one archive may hold; 0 for no limit.", ge=0)] = 5_000_000
    max_depth: Annotated[int, _doc("Depth of archives inside archives with --nested.", ge=1, le=32)] = 4
    max_name: Annotated[int, _doc("Longest member name in bytes.", ge=16)] = 4096
    max_components: Annotated[int, _doc("Deepest folder nesting of a member name.", ge=8)] = 256
    password_file: Annotated[str, _doc("File (0600) of passwords to try, one a line.")] = ""
    sevenzip_path: Annotated[str, _doc("7zz to use; empty: the bundled one, then PATH.")] = ""


class MediaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """ffmpeg and what it makes."""

    ffmpeg_path: Annotated[str, _doc("ffmpeg to use; empty: PATH, then the bundled one.")] = ""
    ffprobe_path: Annotated[str, _doc("ffprobe to use; empty: PATH.")] = ""
    thumbnail_size: Annotated[str, _doc('"WIDTH:HEIGHT" of thumbnails; -1 keeps the aspect.')] = "320:-1"
    thumbnail_format: Annotated[str, _doc("Picture format of thumbnails: jpg, png or webp.")] = "jpg"
    probe_timeout: Annotated[float, _doc("Seconds a probe may take.", gt=0)] = 60.0
    threads: Annotated[int, _doc("Encoder threads; 0 lets ffmpeg choose.", ge=0, le=256)] = 0
    parallel: Annotated[
        int, _doc("Files of a folder worked on at once; 0: up to 4, and one per 8 cores to convert.", ge=0, le=64)
    ] = 0


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The dashboard and the API on TCP."""

    enabled: Annotated[bool, _doc("Serve the dashboard on TCP.")] = False
    host: Annotated[str, _doc("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _doc("Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8000
    allowed_hosts: Annotated[tuple[str, ...], _doc("Host names accepted besides localhost and IP addresses.")] = ()
    trusted_origins: Annotated[tuple[str, ...], _doc("Origins of a reverse proxy, with scheme.")] = ()
    trusted_proxies: Annotated[tuple[str, ...], _doc("Networks whose X-Forwarded-* headers count.")] = ()
    url_prefix: Annotated[str, _doc('Sub-path behind a proxy, such as "/deck".')] = ""
    tls_certificate: Annotated[str, _doc("PEM file of the certificate chain; empty for plain HTTP.")] = ""
    tls_key: Annotated[str, _doc("PEM file of the private key.")] = ""
    max_connections: Annotated[int, _doc("Open connections at most.", ge=4)] = 256
    max_per_address: Annotated[
        int, _doc("Open connections one address may have; 0: a quarter of all, at least 32.", ge=0)
    ] = 0
    session_hours: Annotated[float, _doc("Hours until a browser has to sign in again.", gt=0, le=8760)] = 168.0
    upload_folder: Annotated[str, _doc('Folder for files sent from the page; empty: "uploads" in the first root.')] = ""
    max_upload: Annotated[int, _doc("Bytes one file sent from the page may have; 0 for no limit.", ge=0)] = 0

    @property
    def exposed(self) -> bool:
        """Whether other machines reach it without TLS, and no proxy is known that could have it."""
        if self.tls_certificate or self.trusted_proxies:
            return False
        with contextlib.suppress(ValueError):
            return not ipaddress.ip_address(self.host).is_loopback
        return self.host != "localhost"


class TelegramUser(msgspec.Struct, frozen=True, kw_only=True):
    """What one user of the bot may do and hear; a table [telegram.users.USER_ID] also allows the user."""

    role: Annotated[str, _doc("read, control or admin; empty: telegram.default_role.")] = ""
    roots: Annotated[tuple[str, ...], _doc("Folders the user may touch, inside the daemon's; empty: all of them.")] = ()
    notify: Annotated[str, _doc("Which endings are told: all, own, failed or none; empty: telegram.notify.")] = ""
    quiet: Annotated[str, _doc('Hours without sound, such as "22:00-07:00"; empty: telegram.quiet.')] = ""


class TelegramSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Telegram bot; off unless credentials and an allow-list are set."""

    api_id: Annotated[int, _doc("API id.", ge=0)] = 0
    api_hash: Annotated[str, _doc("API hash (secret).")] = ""
    bot_token: Annotated[str, _doc("Bot token (secret).")] = ""
    allowed_users: Annotated[tuple[int, ...], _doc("User ids that may command the bot.")] = ()
    allowed_chats: Annotated[tuple[int, ...], _doc("Group ids in which it answers allowed users.")] = ()
    default_role: Annotated[str, _doc("Role of allowed users: read, control or admin.")] = "admin"
    users: Annotated[dict[str, TelegramUser], _doc("Role, roots and notifications by user id.")] = {}
    inbox: Annotated[str, _doc("Folder for files sent to the bot; empty: Telegram in the user's first root.")] = ""
    notify: Annotated[str, _doc("Which endings are told: all, own, failed or none.")] = "own"
    quiet: Annotated[str, _doc('Hours without sound, such as "22:00-07:00", in local time.')] = ""

    @property
    def enabled(self) -> bool:
        """Whether the bot runs: credentials and somebody who may use it."""
        return bool(self.api_id and self.api_hash and self.bot_token and (self.allowed_users or self.users))


class TuiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal interface."""

    theme: Annotated[str, _doc("Colour theme.")] = "taskdeck-dark"
    hz: Annotated[float, _doc("Picture updates a second.", ge=0.5, le=10)] = 2.0
    icons: Annotated[str, _doc("Glyphs: auto, unicode or ascii.")] = "auto"
    mouse: Annotated[bool, _doc("React to the mouse.")] = True
    bell: Annotated[bool, _doc("Ring the terminal bell when a task ends.")] = False
    notify: Annotated[bool, _doc("Ask the terminal for a desktop notification when a task ends (OSC 9).")] = False
    keymap: Annotated[dict[str, str], _doc("Keys by binding id, comma separated.")] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings."""

    roots: Annotated[tuple[str, ...], _doc("Folders tasks may read and write; empty: the home folder.")] = ()
    tasks: TasksSettings = TasksSettings()
    archive: ArchiveSettings = ArchiveSettings()
    media: MediaSettings = MediaSettings()
    web: WebSettings = WebSettings()
    telegram: TelegramSettings = TelegramSettings()
    tui: TuiSettings = TuiSettings()


SECRETS: Final = frozenset({"telegram.api_hash", "telegram.bot_token"})
"""Settings never printed, logged or sent to a client."""

GUIDE_NAMES: Final[dict[str, str]] = {
    "WEB_DASHBOARD_ENABLED": "web.enabled",
    "WEB_DASHBOARD_PORT": "web.port",
    "WEB_DASHBOARD_HOST": "web.host",
    "ARCHIVE_DEFAULT_FORMAT": "archive.default_format",
    "ARCHIVE_DEFAULT_LEVEL": "archive.default_level",
    "ARCHIVE_TEMP_DIR": "archive.temp_dir",
    "FFMPEG_PATH": "media.ffmpeg_path",
    "FFPROBE_PATH": "media.ffprobe_path",
    "THUMBNAIL_SIZE": "media.thumbnail_size",
    "THUMBNAIL_FORMAT": "media.thumbnail_format",
}
"""The seed guide's names, accepted in the environment and as top-level TOML keys."""
