"""Settings from a TOML file, the environment and flags, each value with where it came from.

Later sources win: defaults, the file (guide names, then ours), guide names in the environment, `TASKDECK_*`,
flags. Every problem is a `settings.invalid` error that names the file or the variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import ArchiveFormat
from engines.paths import PathPolicy
from engines.settings import GUIDE_NAMES, SECRETS, Settings
from engines.text import parse_size
from tui_app.locations import write_private

MASK: Final = "********"
_MOST: Final = 1 << 63
"""Numbers of settings go through JSON, SQLite and system calls, which hold no larger ones and none that is infinite."""
_BYTES: Final = frozenset({"tasks.disk_floor", "tasks.memory_limit", "archive.max_bytes"})
"""Settings counted in bytes: they also take "512 MiB"."""
_OTHER_VARIABLES: Final = frozenset(
    {"TASKDECK_CONFIG", "TASKDECK_STATE", "TASKDECK_URL", "TASKDECK_TOKEN", "TASKDECK_DEBUG"}
)


class Origin(StrEnum):
    """Kinds of locations a value comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class Option(msgspec.Struct, frozen=True):
    """One setting as people write it."""

    key: str
    """ "web.port"."""
    type: Any
    default: Any
    help: str

    @property
    def variable(self) -> str:
        """ "TASKDECK_WEB_PORT"."""
        return "TASKDECK_" + self.key.replace(".", "_").upper()

    @property
    def secret(self) -> bool:
        """Whether the value is never shown."""
        return self.key in SECRETS

    @property
    def guide_name(self) -> str:
        """The seed guide's name, or empty."""
        return next((name for name, key in GUIDE_NAMES.items() if key == self.key), "")


class Source(msgspec.Struct, frozen=True):
    """Where a value came from: the file, the variable or the flag."""

    origin: Origin
    where: str = ""

    def __str__(self) -> str:
        return f"{self.origin} {self.where}".rstrip()


class Config(msgspec.Struct, frozen=True):
    """The effective settings and their provenance."""

    settings: Settings
    sources: dict[str, Source]
    path: Path
    """The settings file, which need not exist."""
    unknown_variables: tuple[str, ...] = ()
    """TASKDECK_* variables that mean nothing: probably misspelt."""

    def value(self, key: str) -> Any:
        """The effective value of a setting."""
        found: Any = self.settings
        for part in key.split("."):
            found = getattr(found, part)
        return found


@cache
def options() -> dict[str, Option]:
    """Every setting by its key, in the order of the model."""
    found: dict[str, Option] = {}
    for info in msgspec.structs.fields(Settings):
        if isinstance(info.type, type) and issubclass(info.type, msgspec.Struct):
            for inner in msgspec.structs.fields(info.type):
                found[f"{info.name}.{inner.name}"] = _option(f"{info.name}.{inner.name}", inner)
        else:
            found[info.name] = _option(info.name, info)
    return found


def _option(key: str, info: msgspec.structs.FieldInfo) -> Option:
    meta = next((extra for extra in get_args(info.type)[1:] if isinstance(extra, msgspec.Meta)), msgspec.Meta())
    default = info.default_factory() if info.default is msgspec.NODEFAULT else info.default
    return Option(key, info.type, default, meta.description or "")


def load(path: Path, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None) -> Config:
    """The effective settings.

    Args:
        path: The TOML file; it need not exist.
        flags: Setting keys and values from the command line ("web.port": "8080").

    Raises:
        TaskdeckError: `settings.invalid`.
    """
    env = os.environ if environ is None else environ
    known = options()
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, Source(Origin.DEFAULT))
    for key, value in _from_file(path).items():
        values[key] = _typed(known[key], value, f"in {display(path)}")
        sources[key] = Source(Origin.FILE, display(path))
    by_variable = {**GUIDE_NAMES, **{option.variable: key for key, option in known.items()}}
    for variable, key in by_variable.items():
        if variable in env:
            values[key] = _typed(known[key], parse_text(known[key], env[variable], variable), f"in {variable}")
            sources[key] = Source(Origin.ENVIRONMENT, variable)
    for key, text in (flags or {}).items():
        option = _known(key, "on the command line")
        values[key] = _typed(option, parse_text(option, text, key), "on the command line")
        sources[key] = Source(Origin.FLAG, key)
    settings = _build(values)
    check_values(settings, sources)
    unknown = sorted(
        name for name in env if name.startswith("TASKDECK_") and name not in by_variable.keys() | _OTHER_VARIABLES
    )
    return Config(settings, sources, path, tuple(display(name) for name in unknown))


def set_option(path: Path, key: str, text: str) -> Config:
    """Write one setting into the file, keeping its comments, and return what the file then says.

    Raises:
        TaskdeckError: `settings.invalid` for an unknown key, a bad value, or a file that cannot be edited safely.
    """
    option = _known(GUIDE_NAMES.get(key, key), "on the command line")
    return store_option(path, option.key, parse_text(option, text, option.key))


def store_option(path: Path, key: str, raw: Any) -> Config:
    """As `set_option`, for a value that is typed already."""
    option = _known(key, "on the command line")
    value = _typed(option, raw, "on the command line")
    try:
        before = path.read_text() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"cannot read {display(path)}", str(error)) from None
    _from_file(path)
    from tui_app.toml_edit import set_value

    after = set_value(before, option.key, list(value) if isinstance(value, tuple) else value)
    import tomllib

    changed = _flatten(tomllib.loads(after), path)
    settings = _build({name: _typed(options()[name], item, f"in {display(path)}") for name, item in changed.items()})
    check_values(settings, {option.key: Source(Origin.FLAG, option.key)})
    if not _is_utf8(after):  # or nobody could read the file any more
        raise _invalid(
            f"cannot use {option.key} on the command line", "it is no UTF-8 text, and a TOML file holds no other"
        )
    if option.key == "roots":  # no daemon would start with them
        PathPolicy.of(settings.roots)
    write_private(path, after)
    return load(path)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_text(option: Option, text: str, where: str) -> Any:
    """The value a variable or flag gives as text: numbers, words for truth, lists, "a=b" pairs.

    `roots` is separated by colons (or commas on a command line), other lists by commas.
    """
    base = _base(option.type)
    if base is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        try:
            return words[text.strip().casefold()]
        except KeyError:
            raise _invalid(f"cannot use {where}", f"'{display(text)}' is neither true nor false") from None
    if get_origin(base) is tuple:
        items = [item.strip() for item in re.split(r"[:]" if option.key == "roots" else r",", text)]
        found = [item for item in items if item]
        return [_number(item, int, where) for item in found] if get_args(base)[0] is int else found
    if get_origin(base) is dict:
        return _pairs(option, text, where)
    if base in (int, float) and not (option.key in _BYTES and not text.strip().isdigit()):
        return _number(text, base, where)
    return text


def _pairs(option: Option, text: str, where: str) -> dict[str, str]:
    """ "a=f5,p,b=x" as {"a": "f5,p", "b": "x"}: what has no "=" belongs to the value before it."""
    found: dict[str, str] = {}
    name = ""
    if text.strip() and get_args(_base(option.type))[1] is not str:
        raise _invalid(f"cannot use {where}", "it is a table of tables", "write it in the settings file")
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        before, equals, value = piece.partition("=")
        if equals:
            name = before.strip()
            found[name] = value.strip()
        elif name:
            found[name] += f",{piece}"
        else:
            raise _invalid(f"cannot use {where}", f"'{display(piece)}' is no NAME=VALUE")
    return found


def _number(text: str, kind: Callable[[str], Any], where: str) -> Any:
    try:
        return kind(text.strip())
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise _invalid(f"cannot use {where}", f"'{display(text)}' is not {wanted}") from None


def _base(hint: Any) -> Any:
    return get_args(hint)[0] if hasattr(hint, "__metadata__") else hint


def _typed(option: Option, value: Any, where: str) -> Any:
    if option.key in _BYTES and isinstance(value, str):
        try:
            value = parse_size(value)
        except ValueError:
            raise _invalid(f"cannot use {option.key} {where}", f"'{display(value)}' is not a size") from None
    if isinstance(value, int | float) and not abs(value) < _MOST:  # NaN is not either
        raise _invalid(
            f"cannot use {option.key} {where}", f"{value} is no number that every part of the program can hold"
        )
    try:
        return msgspec.convert(value, option.type, strict=True)
    except msgspec.ValidationError as error:
        shown = MASK if option.secret else display(repr(value), limit=80)
        reason = str(error)[:1].lower() + str(error)[1:].replace("`", "")
        raise _invalid(f"cannot use {option.key} {where}", f"{shown}: {reason}") from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"cannot read {display(path)}", str(error)) from None
    import tomllib  # 2 ms, only when there is a file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"cannot read {display(path)}", f"it is not valid TOML: {error}") from None
    return _flatten(document, path)


def _flatten(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    known = options()
    sections = {key.partition(".")[0] for key in known if "." in key}
    guide: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    for name, value in document.items():
        if name in GUIDE_NAMES:
            guide[GUIDE_NAMES[name]] = value
        elif name in sections and isinstance(value, dict):
            for inner, item in value.items():
                ours[_known(f"{name}.{inner}", f"in {display(path)}").key] = item
        else:
            ours[_known(name, f"in {display(path)}").key] = value
    return guide | ours


def _known(key: str, where: str) -> Option:
    try:
        return options()[key]
    except KeyError:
        import difflib

        close = difflib.get_close_matches(key, options(), 1, 0.5)
        hint = f"perhaps {close[0]} is meant" if close else "see `taskdeck config`"
        raise _invalid(f"cannot use '{display(key)}' {where}", "there is no such setting", hint) from None


def _build(values: Mapping[str, Any]) -> Settings:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            tree.setdefault(section, {})[name] = value
        else:
            tree[key] = value
    return msgspec.convert(tree, Settings)


def check_values(settings: Settings, sources: Mapping[str, Source]) -> None:
    """Refuse values that the types alone let pass.

    Raises:
        TaskdeckError: `settings.invalid`.
    """

    def refuse(key: str, value: object, why: str) -> None:
        where = sources.get(key, Source(Origin.DEFAULT))
        raise _invalid(f"cannot use {key} = '{display(str(value))}' ({where})", why)

    choices = {
        "archive.default_format": (settings.archive.default_format, tuple(item.value for item in ArchiveFormat)),
        "media.thumbnail_format": (settings.media.thumbnail_format, ("jpg", "png", "webp")),
        "tasks.ionice": (settings.tasks.ionice, ("none", "best-effort", "idle")),
        "tui.icons": (settings.tui.icons, ("auto", "unicode", "ascii")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            refuse(key, value, "known are " + ", ".join(allowed))
    if not valid_thumbnail_size(settings.media.thumbnail_size):
        size = settings.media.thumbnail_size
        refuse("media.thumbnail_size", size, 'it must be two whole numbers such as "320:-1", 16 to 7680 or -1')
    for key in ("archive.temp_dir", "archive.password_file", "archive.sevenzip_path"):
        value = getattr(settings.archive, key.partition(".")[2])
        if value and not os.path.isabs(os.path.expanduser(value)):
            refuse(key, value, "it must be an absolute path")
    if bool(settings.web.tls_certificate) != bool(settings.web.tls_key):
        refuse("web.tls_key", settings.web.tls_key, "web.tls_certificate and web.tls_key go together")
    for network in settings.web.trusted_proxies:
        if not _is_network(network):
            refuse("web.trusted_proxies", network, 'it must be an address or a network such as "10.0.0.0/8"')
    for origin in settings.web.trusted_origins:
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            refuse("web.trusted_origins", origin, 'it must look like "https://example.org", without a path')
    if settings.web.url_prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", settings.web.url_prefix):
        refuse("web.url_prefix", settings.web.url_prefix, 'it must look like "/deck"')


def _is_network(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def valid_thumbnail_size(text: str) -> bool:
    """Whether it is "WIDTH:HEIGHT", each 16 to 7680 or -1, not both -1: never raw filter text."""
    match = re.fullmatch(r"(-1|\d{1,4}):(-1|\d{1,4})", text, re.ASCII)
    if match is None or match[1] == match[2] == "-1":
        return False
    return all(int(part) == -1 or 16 <= int(part) <= 7680 for part in match.groups())


def shown(config: Config, option: Option) -> Any:
    """The value as it may be printed: secrets masked, lists as lists."""
    value = config.value(option.key)
    if option.secret:
        return MASK if value else ""
    return list(value) if isinstance(value, tuple) else value


def _invalid(what: str, why: str, fix: str = "") -> TaskdeckError:
    return TaskdeckError("settings.invalid", what, why, fix)
