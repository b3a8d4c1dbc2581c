"""Shell completion: small scripts that ask `taskdeck __complete` for words; paths are left to the shell."""

from __future__ import annotations

import argparse
from typing import Final

from engines.errors import Exit, TaskdeckError
from engines.operations import OPERATIONS, Accepts, Field, fields
from engines.query import KEYS, Page
from tui_app.cli.context import Context
from tui_app.cli.output import out
from tui_app.cli.parser import Parser, command_parser, find_command, program_parser
from tui_app.cli.registry import commands

PATHS: Final = "__paths__"
"""Printed alone: the shell completes a path."""
_ID_COMMANDS: Final = {
    "show": "", "wait": "status:open", "logs": "", "pause": "status:open", "resume": "status:paused",
    "cancel": "status:open", "retry": "status:failed,cancelled", "remove": "status:ended", "priority": "status:queued",
    "unlock": "status:waiting", "again": "status:ended",
}  # fmt: skip
_PATH_KINDS: Final = (Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER)
_PATH_OPTIONS: Final = ("--config", "--root", "--password-file")

BASH: Final = r"""# taskdeck completion for bash: eval "$(taskdeck completions bash)"
_taskdeck() {
    local IFS=$'\n' words word found=()
    COMPREPLY=()
    words=$(command "${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return
    if [[ $words == __paths__ ]]; then
        compopt -o default  # names as the shell itself completes and quotes them
        return
    fi
    while IFS=$'\t' read -r word _; do found+=("$word"); done <<<"$words"
    COMPREPLY=($(compgen -W "${found[*]}" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _taskdeck taskdeck
"""
ZSH: Final = r"""#compdef taskdeck
# taskdeck completion for zsh: eval "$(taskdeck completions zsh)"
_taskdeck() {
    local -a lines found
    lines=("${(@f)$(command "${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${lines[1]} == __paths__ ]]; then
        _files
        return
    fi
    local line
    for line in $lines; do
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe -V taskdeck found
}
if [[ $funcstack[1] == _taskdeck ]]; then _taskdeck "$@"; else compdef _taskdeck taskdeck; fi
"""
FISH: Final = r"""# taskdeck completion for fish: taskdeck completions fish | source
function __taskdeck_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    set -l lines (command taskdeck __complete -- $words 2>/dev/null)
    if test "$lines[1]" = __paths__
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $lines
    end
end
complete -c taskdeck -f -a '(__taskdeck_complete)'
"""


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the commands of this module."""
    if name == "completions":
        parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    else:
        parser.add_argument("words", nargs="*")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Print a script, or words (each with a tab and its help)."""
    if name == "completions":
        out({"bash": BASH, "zsh": ZSH, "fish": FISH}[arguments.shell].rstrip("\n"))
        return Exit.OK
    words = list(arguments.words) or [""]
    found = suggestions(context, words[:-1], words[-1])
    for word, text in found:
        out(f"{word}\t{text}" if text else word)
    return Exit.OK


def suggestions(context: Context, before: list[str], begun: str) -> list[tuple[str, str]]:
    """What may stand at the end of a command line: (word, help) pairs, or the one that means "a path"."""
    previous = before[-1] if before else ""
    if previous in _PATH_OPTIONS:
        return [(PATHS, "")]
    name = next((word for word in before if not word.startswith("-")), "")
    if not name:
        options = _flags(program_parser(), begun)
        return options or [
            (command.name, command.summary)
            for command in commands().values()
            if not command.hidden and command.name.startswith(begun)
        ]
    try:
        command = find_command(name)
    except TaskdeckError:
        return []
    parser = command_parser(command)
    rest = before[before.index(name) + 1 :]
    if name in OPERATIONS:
        found = _operation(name, rest, previous, begun)
        if found is not None:
            return found
    if begun.startswith("-"):
        return _flags(parser, begun)
    values = _values(parser, previous, begun)
    if values is not None:
        return values
    if name in _ID_COMMANDS or previous == "--after":
        return _ids(context, _ID_COMMANDS.get(name, ""), begun)
    if name in ("status", "history"):
        return [(f"{key}:", "") for key in KEYS if key.startswith(begun)]
    if name == "config":
        return _settings(rest, begun) or _choices(parser, begun)
    return _choices(parser, begun)


def _operation(name: str, rest: list[str], previous: str, begun: str) -> list[tuple[str, str]] | None:
    known = fields(OPERATIONS[name].struct)
    by_flag = {field.flag: field for field in known}
    if previous in by_flag and by_flag[previous].type is not bool:
        return _field(by_flag[previous], begun)
    if begun.startswith("-") or previous == "--after":
        return None
    flags = sum(1 for word in rest if word.startswith("-"))
    valued = sum(1 for word in rest if word in by_flag and by_flag[word].type is not bool)
    place = len(rest) - flags - valued
    positional = [field for field in known if field.positional]
    return _field(positional[place], begun) if 0 <= place < len(positional) else []


def _field(field: Field, begun: str) -> list[tuple[str, str]]:
    if field.accepts in _PATH_KINDS:
        return [(PATHS, "")]
    values = field.choices
    if not values and field.ge is not None and field.le is not None and field.le - field.ge <= 20:
        values = tuple(str(number) for number in range(int(field.ge), int(field.le) + 1))
    return [(value, "") for value in values if value.startswith(begun)]


def _flags(parser: Parser, begun: str) -> list[tuple[str, str]]:
    if not begun.startswith("-"):
        return []
    return [
        (flag, (action.help or "").replace("%%", "%"))
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for flag in action.option_strings
        if flag.startswith("--") and flag.startswith(begun)
    ]


def _values(parser: Parser, previous: str, begun: str) -> list[tuple[str, str]] | None:
    """The values of the option before, None when no option waits for one."""
    for action in parser._actions:
        if previous in action.option_strings and action.nargs != 0:
            if previous == "--after":
                return None
            return [(str(choice), "") for choice in action.choices or () if str(choice).startswith(begun)]
    return None


def _choices(parser: Parser, begun: str) -> list[tuple[str, str]]:
    for action in parser._actions:
        if not action.option_strings and action.choices:
            return [(str(choice), "") for choice in action.choices if str(choice).startswith(begun)]
    return []


def _settings(rest: list[str], begun: str) -> list[tuple[str, str]]:
    from tui_app.config import options

    if rest[-1:] in (["get"], ["set"]):
        return [(key, option.help) for key, option in options().items() if key.startswith(begun)]
    return []


def _ids(context: Context, words: str, begun: str) -> list[tuple[str, str]]:
    """Task ids, without starting a daemon for them."""
    from tui_app.client.launch import answers
    from tui_app.client.local import with_query

    if not answers(context.locations):
        return []
    page = context.client(start=False).get(with_query("/api/v1/tasks", {"filter": words, "limit": 50}), Page)
    return [(view.id, f"{view.state} {view.op} {view.title}") for view in page.items if view.id.startswith(begun)]
