"""Commands about this installation: config, doctor, version."""

from __future__ import annotations

import argparse
import platform
import sys

from engines.errors import Exit, TaskdeckError
from engines.settings import GUIDE_NAMES
from tui_app import config as settings_config
from tui_app.cli.context import Context
from tui_app.cli.output import err, out, out_json
from tui_app.toml_edit import literal
from tui_app.wire import PROTOCOL, Hello, program_version


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the commands of this module."""
    if name == "config":
        parser.add_argument(
            "action", nargs="?", choices=["show", "get", "set", "path", "sample"], default="show",
            help="show (default), get KEY, set KEY VALUE, path, or sample (a commented settings file)",
        )  # fmt: skip
        parser.add_argument("key", nargs="?", metavar="KEY", help="such as web.port")
        parser.add_argument(
            "value", nargs="?", metavar="VALUE", help="lists: items separated by commas, roots by colons"
        )
    if name == "doctor":
        parser.add_argument("--all", action="store_true", help="prove every encoder and name every filter")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run a command of this module."""
    if name == "doctor":
        return _doctor(context, json=arguments.json, everything=arguments.all)
    if name == "version":
        return _version(context, json=arguments.json)
    match arguments.action:
        case "path":
            out(str(context.locations.config))
            return Exit.OK
        case "sample":
            from tui_app.config_sample import sample

            out(sample().rstrip("\n"))
            return Exit.OK
        case "set":
            return _set(context, arguments)
        case "get":
            return _get(context, arguments)
    return _show(context, json=arguments.json)


def _show(context: Context, *, json: bool) -> int:
    config = context.load_config()
    if json:
        settings = {
            key: {
                "value": settings_config.shown(config, option),
                "source": config.sources[key].origin.value,
                "where": config.sources[key].where,
                "default": list(option.default) if isinstance(option.default, tuple) else option.default,
                "variable": option.variable,
                "help": option.help,
            }
            for key, option in settings_config.options().items()
        }
        locations = context.locations
        out_json(
            {
                "path": str(config.path),
                "state": str(locations.state),
                "socket": str(locations.socket()),
                "settings": settings,
                "unknown_variables": config.unknown_variables,
            }
        )
        return Exit.OK
    for key, option in settings_config.options().items():
        source = config.sources[key]
        where = "" if source.origin is settings_config.Origin.DEFAULT else f"  # {source}"
        out(f"{key} = {literal(settings_config.shown(config, option))}{where}")
    for variable in config.unknown_variables:
        err(f"taskdeck: warning: {variable} means nothing to Taskdeck")
    return Exit.OK


def _get(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.key is None or arguments.value is not None:
        raise TaskdeckError("usage", "cannot get a setting", "", "write `taskdeck config get KEY`")
    config = context.load_config()
    option = settings_config.options().get(arguments.key)
    if option is None:
        raise TaskdeckError("settings.invalid", f"cannot get '{arguments.key}'", "there is no such setting")
    value = settings_config.shown(config, option)
    if arguments.json:
        out_json(value)
    else:
        out(value if isinstance(value, str) else literal(value))
    return Exit.OK


def _set(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.key is None or arguments.value is None:
        raise TaskdeckError("usage", "cannot set nothing", "", "write `taskdeck config set KEY VALUE`")
    config = settings_config.set_option(context.locations.config, arguments.key, arguments.value)
    key = GUIDE_NAMES.get(arguments.key, arguments.key)
    shown = literal(settings_config.shown(config, settings_config.options()[key]))
    source = config.sources[key]
    if source.origin is not settings_config.Origin.FILE:
        err(f"taskdeck: warning: {source} stands above the file and keeps its value")
    reloaded = _reload(context)
    if arguments.json:
        out_json(
            {"key": key, "value": settings_config.shown(config, settings_config.options()[key]), "reloaded": reloaded}
        )
    else:
        out(f"{key} = {shown}")
    return Exit.OK


def _reload(context: Context) -> bool:
    """Have a running daemon read its settings again."""
    from tui_app.client.launch import answers
    from tui_app.client.local import LocalClient

    if not answers(context.locations):
        return False
    LocalClient(context.locations).post("/api/v1/reload", dict[str, bool], {})
    return True


def _doctor(context: Context, *, json: bool, everything: bool) -> int:
    from tui_app.doctor import Level, examine

    checks = examine(context.locations, context.load_config, everything=everything)
    failed = any(check.level is Level.FAIL for check in checks)
    if json:
        out_json({"ok": not failed, "checks": checks})
        return Exit.FAILED if failed else Exit.OK
    marks = {Level.OK: "ok", Level.WARN: "warn", Level.FAIL: "FAIL"}
    width = max(18, *(len(check.name) for check in checks))
    for check in checks:
        out(f"{marks[check.level]:<4}  {check.name:<{width}} {check.found}")
        if check.fix and check.level is not Level.OK:
            out(f"      {'':<{width}} -> {check.fix}")
    return Exit.FAILED if failed else Exit.OK


def _version(context: Context, *, json: bool) -> int:
    from tui_app.client.launch import answers
    from tui_app.client.local import LocalClient

    daemon: Hello | None = None
    if answers(context.locations):
        daemon = LocalClient(context.locations, any_version=True).hello()
    if json:
        out_json(
            {"version": program_version(), "protocol": PROTOCOL, "python": platform.python_version(), "daemon": daemon}
        )
        return Exit.OK
    out(f"taskdeck {program_version()} (protocol {PROTOCOL}, Python {platform.python_version()}, {sys.platform})")
    if daemon is None:
        out("no daemon is running")
    else:
        out(f"daemon {daemon.version} (protocol {daemon.protocol}, process {daemon.pid})")
    return Exit.OK
