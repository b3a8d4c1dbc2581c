"""The commented settings file and the settings page of the documentation, both made from the model."""

from __future__ import annotations

import msgspec

from engines.settings import GUIDE_NAMES, Settings
from tui_app.config import Option, options
from tui_app.keys import KEYS
from tui_app.toml_edit import literal


def sample() -> str:
    """A TOML file with every setting, its help and its default, all commented out."""
    lines = [
        "# Taskdeck settings. Every line shows a default; take the # away to change it.",
        "# `taskdeck config` prints the effective values and where each comes from.",
    ]
    section = ""
    for key, option in options().items():
        if key == "tui.keymap":  # a table of its own, which has to follow the settings of [tui]
            continue
        head, dot, name = key.rpartition(".")
        if dot and head != section:
            section = head
            lines += ["", f"[{section}]"]
        lines += ["", f"# {option.help}", f"# {name if dot else key} = {_default(option)}"]
    lines += ["", "[tui.keymap]", "", f"# {options()['tui.keymap'].help} Every key there is:"]
    lines += [f"# {literal(spec.id)} = {literal(spec.keys)}" for spec in KEYS.values()]
    return "\n".join(lines) + "\n"


def page() -> str:
    """`docs/configuration.md`."""
    lines = [_INTRODUCTION.strip()]
    section = None
    for key, option in options().items():
        head = key.rpartition(".")[0]
        if head != section:
            section = head
            lines += ["", f"## {f'[{section}]' if section else 'Top level'}", ""]
            if section:
                lines += [_summary(section), ""]
            lines += ["| setting | default | what it does |", "|---|---|---|"]
        text = option.help.replace("|", "\\|")
        if option.guide_name:
            text += f" Also `{option.guide_name}`."
        lines.append(f"| `{key}` | `{_default(option)}` | {text} |")
    lines += ["", "## Names of the feature guide", ""]
    lines.append("Accepted in the environment and as top-level keys of the file; our own names win.")
    lines += ["", "| guide | setting |", "|---|---|"]
    lines += [f"| `{name}` | `{key}` |" for name, key in GUIDE_NAMES.items()]
    return "\n".join(lines) + "\n"


def _default(option: Option) -> str:
    return literal(list(option.default) if isinstance(option.default, tuple) else option.default)


def _summary(section: str) -> str:
    kind = next(info.type for info in msgspec.structs.fields(Settings) if info.name == section)
    return (kind.__doc__ or "").strip()


_INTRODUCTION = """
# Configuration

<!-- made by scripts/make_docs.py from engines/settings.py: edit there -->

Settings come from, in rising order: defaults, the file, the environment, flags.

- **File**: `$XDG_CONFIG_HOME/taskdeck/taskdeck.toml` (`~/.config/taskdeck/taskdeck.toml`), another one with
  `--config FILE` or `TASKDECK_CONFIG`. `taskdeck config sample` prints a commented one.
- **Environment**: `TASKDECK_` and the setting's name in capitals with `_` for the dot: `TASKDECK_WEB_PORT=8080`,
  `TASKDECK_TELEGRAM_BOT_TOKEN=...`. Lists are separated by commas, `TASKDECK_ROOTS` by colons.
- **Flags**: `taskdeck --set web.port=8080 serve`; `--root DIR` (repeatable) for `roots`.

`taskdeck config` prints the effective values and where each came from (`--json` for programs, secrets masked),
`taskdeck config set KEY VALUE` edits the file and keeps its comments; a running daemon takes the change over at
once, as it does on SIGHUP. Running jobs keep the settings they started with. A bad value is refused with
`settings.invalid` and a sentence that names the file or the variable.

Sizes are bytes; in the file and the environment they may be written `"512 MiB"` or `"2 GB"`. Times are seconds.

`TASKDECK_STATE` moves the state folder (`$XDG_STATE_HOME/taskdeck`): database, log, lock, token. `TASKDECK_URL` and
`TASKDECK_TOKEN` are what `taskdeck --url --token` take. `TASKDECK_DEBUG=1` shows Python tracebacks.
"""
