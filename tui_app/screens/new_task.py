"""A form for any operation, made from the table: choose what to do, fill in, see at once what is wrong."""

from __future__ import annotations

import asyncio
import os
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Select, Static

from engines.commandline import takes_path
from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import OPERATIONS, Accepts, Field, OperationSpec, as_command, fields, parse, split_secrets
from engines.paths import from_uri
from engines.text import plural, size, uptime
from tui_app.keys import bindings
from tui_app.places import Entry, find, typed
from tui_app.screens.base import DeckDialog
from tui_app.screens.pick import FilePicker
from widgets.glyphs import ASCII
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut
from widgets.work import restart

_TYPING: Final = 0.4
"""Seconds without a change after which an estimate is worth its reading of the disk."""


class ChooseOperation(DeckDialog[str]):
    """Gives the name of an operation."""

    BINDINGS: ClassVar = bindings("dialog.close")

    def compose(self) -> ComposeResult:
        """The table's rows."""
        with Vertical(classes="dialog -tall"):
            yield Static("New task", markup=False, classes="dialog-title")
            yield RowList(id="operations")
            yield Static(self.deck.hint(("rows.choose", "opens the form"), ("dialog.leave", "closes")),
                         markup=False, classes="dialog-hint")  # fmt: skip

    def on_mount(self) -> None:
        """Fill the list."""
        rows = self.query_one(RowList)
        rows.glyphs = self.deck.glyphs
        specs = list(OPERATIONS.values())

        def draw(index: int, width: int) -> Row:
            summary = cut(specs[index].summary, width - 14, self.deck.glyphs.ellipsis)
            return [Span(f"{specs[index].name:<14}", "strong"), Span(summary, "muted")]

        rows.fill(len(specs), draw)
        self.set_focus(rows)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(list(OPERATIONS)[event.index])


class NewTask(DeckDialog[Json]):
    """Gives the operation as validated JSON.

    Args:
        spec: The operation.
        given: Values to begin with, by field name.
    """

    BINDINGS: ClassVar = bindings("form")

    def __init__(self, spec: OperationSpec, given: Json | None = None) -> None:
        super().__init__()
        self._spec = spec
        self._given = given or {}
        self._fields = fields(spec.struct)
        self._foretold: Json = {}
        """The question the shown estimate answers."""

    def compose(self) -> ComposeResult:
        """One line a field; advanced ones are folded away."""
        with Vertical(classes="dialog -big", id="form"):
            yield Static(f"{self._spec.name}: {self._spec.summary}", markup=False, classes="dialog-title")
            with VerticalScroll(id="form-fields", can_focus=False):
                for field in self._fields:
                    classes = "form-row -advanced" if self._folded(field) else "form-row"
                    with Horizontal(classes=classes):
                        yield Static(field.name.replace("_", " "), markup=False, classes="form-label")
                        yield self._control(field)
            yield Static("", id="form-help", markup=False)
            yield Static("", id="form-estimate", markup=False)
            yield Static("", id="form-error", markup=False)
            yield Static("", id="form-command", markup=False)
            yield Static(self.deck.hint(("form.start", "starts"), ("form.browse", "browses"),
                                        ("form.more", "more options"), ("dialog.leave", "closes")),
                         markup=False, classes="dialog-hint")  # fmt: skip

    def _folded(self, field: Field) -> bool:
        return field.name not in self._given and not field.positional and not field.required

    def _control(self, field: Field) -> Input | Select[str]:
        given = self._given.get(field.name, field.default)
        if field.type is bool:  # a checkbox shows its state by colour alone; words need none
            return Select([("no", "no"), ("yes", "yes")], value="yes" if given else "no", id=f"field-{field.name}",
                          allow_blank=False, compact=True, classes="form-control")  # fmt: skip
        if field.choices and not field.repeated:
            value = str(given) if given is not None else Select.NULL
            choices = [(choice, choice) for choice in field.choices]
            return Select(choices, value=value, id=f"field-{field.name}", allow_blank=given is None,
                          prompt="default", compact=True, classes="form-control")  # fmt: skip
        values = [] if given in (None, ()) else list(given) if field.repeated else [given]
        if takes_path(field):
            values = [typed(from_uri(str(value)), among=field.repeated) for value in values]
        return Input(", ".join(map(str, values)), id=f"field-{field.name}", password=field.secret, compact=True,
                     select_on_focus=False, placeholder=_placeholder(field), classes="form-control")  # fmt: skip

    def on_mount(self) -> None:
        """The first field has the keyboard."""
        if self.deck.glyphs is ASCII:
            for classes, sign in ((".down-arrow", ASCII.down), (".up-arrow", ASCII.up)):
                for arrow in self.query(classes).results(Static):
                    arrow.update(sign)
        self.set_focus(self.query_one(f"#field-{self._fields[0].name}"))
        self._check()

    # -- values ------------------------------------------------------------------------
    def _value(self, field: Field) -> object:
        """What is entered, None for nothing."""
        control = self.query_one(f"#field-{field.name}")
        if isinstance(control, Select) and field.type is bool:
            return control.value == "yes"
        if isinstance(control, Select):
            return None if control.value is Select.NULL else control.value
        assert isinstance(control, Input)
        text = control.value if field.secret else control.value.strip()
        if not text:
            return None
        if field.repeated:
            return [item.strip() for item in text.split(",") if item.strip()]
        if field.type in (int, float):
            try:
                return field.type(text)
            except ValueError:
                return text
        return text

    def data(self) -> Json:
        """The operation as JSON; not validated."""
        found: Json = {"op": self._spec.name}
        for field in self._fields:
            value = self._value(field)
            if value is not None and value != field.default:
                found[field.name] = value
        return found

    def problem(self) -> str:
        """What is wrong with the values, one sentence; "" for nothing."""
        data = self.data()
        for field in self._fields:
            if field.required and field.name not in data:
                return f"The {field.name} is missing."
        try:
            parse(data)
        except TaskdeckError as error:
            return error.coded
        return ""

    @on(Input.Changed)
    @on(Select.Changed)
    def _check(self) -> None:
        problem = self.problem()
        self.query_one("#form-error", Static).update(problem)
        command = ""
        if not problem:
            command = display(as_command(split_secrets(parse(self.data()))[0]))
        self.query_one("#form-command", Static).update(command)
        restart(self, "estimate", self._estimate)

    async def _estimate(self) -> None:
        """What the source is and the disk has free; for what is packed, what the archive will come to."""
        source = next((field for field in self._fields if field.accepts is Accepts.SOURCE), None)
        path = self._value(source) if source is not None and not source.repeated else None
        try:
            entry = await self._entry(path) if isinstance(path, str) else None
        except TaskdeckError as error:
            self._tell_estimate(error.message, wrong=error.code == "path.missing")
            return
        if entry is not None and self._spec.name == "zip" and not self.problem():
            await self._estimate_archive()
        else:
            stats = self.deck.mirror.stats
            parts = [size(entry.size)] if entry is not None and not entry.folder else []
            parts += [f"{size(stats.host.disk_free)} free"] if stats is not None and self._spec.writes else []
            self._tell_estimate(", ".join(parts))

    async def _entry(self, path: str) -> Entry:
        """What stands at a path.

        Raises:
            TaskdeckError: `path.missing`, and what reading the folder raises.
        """
        full = self._full(path)
        if full in await self.deck.places.roots():
            return Entry(full, folder=True)
        found = await find(self.deck.places, full)
        if found is None:
            folder, name = os.path.split(full)
            raise TaskdeckError("path.missing", f"There is no '{display(name)}' in {display(folder)}")
        return found

    def _full(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.deck.places.base(), os.path.expanduser(from_uri(path))))

    async def _estimate_archive(self) -> None:
        """Foretold by the engine from samples; asked once typing has paused."""
        data = self.data()
        known = {field.name for field in fields(OPERATIONS["estimate"].struct)}
        question = {name: value for name, value in data.items() if name in known} | {"op": "estimate"}
        if question == self._foretold:
            return
        self._tell_estimate("estimating ...")
        await asyncio.sleep(_TYPING)
        try:
            found = await self.deck.tasks.look(question, base=self.deck.places.base())
        except TaskdeckError as error:
            self._tell_estimate("too much to foretell" if error.code == "task.timeout" else error.message)
            return
        self._foretold = question
        fits = bool(found["fits"])
        self._tell_estimate(
            f"{plural(int(found['files']), 'file')}, {size(found['original'])}, packed about {size(found['packed'])} "
            f"in {uptime(max(1.0, found['seconds']))}; {size(found['free'])} free"
            + ("" if fits else ": it does not fit"),
            wrong=not fits,
        )

    def _tell_estimate(self, text: str, *, wrong: bool = False) -> None:
        for line in self.query("#form-estimate").results(Static):  # none once the form is closed
            line.update(text)
            line.set_class(wrong, "-wrong")

    def _tell_help(self) -> None:
        field = self._focused_field()
        for line in self.query("#form-help").results(Static):  # none once the form is closed
            line.update(field.help if field is not None else "")

    def on_descendant_focus(self) -> None:
        """Help for the field that has the keyboard."""
        self._tell_help()

    def _focused_field(self) -> Field | None:
        focused = self.app.focused
        name = (focused.id or "").removeprefix("field-") if focused is not None else ""
        return next((field for field in self._fields if field.name == name), None)

    # -- actions -------------------------------------------------------------------------
    def action_start(self) -> None:
        """Start the task unless something is wrong."""
        problem = self.problem()
        if problem:
            self.deck.say(problem, severity="warning")
        else:
            self.dismiss(self.data())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.problem():
            self.focus_next()
        else:
            self.action_start()

    def action_more(self) -> None:
        """Show or hide the folded fields."""
        self.query_one("#form").toggle_class("-more")

    def action_browse(self) -> None:
        """Choose a path with the picker."""
        field = self._focused_field()
        if field is None or not takes_path(field):
            field = next((item for item in self._fields if takes_path(item)), None)
        if field is None:
            return
        control = self.query_one(f"#field-{field.name}", Input)
        more = next((item for item in self._fields if item.name == "add"), None) if field.required else None
        self.app.push_screen(
            FilePicker(
                self.deck.places.base(),
                folders_only=field.accepts is Accepts.FOLDER,
                several=field.repeated or more is not None,
            ),
            lambda paths: self._picked(control, field, paths) if paths else None,
        )

    def _picked(self, control: Input, field: Field, paths: list[str]) -> None:
        if field.repeated:
            control.value = ", ".join([*filter(None, [control.value]), *(typed(path, among=True) for path in paths)])
            return
        control.value = typed(paths[0])
        if len(paths) > 1:
            self.query_one("#field-add", Input).value = ", ".join(typed(path, among=True) for path in paths[1:])
            self.query_one("#form").add_class("-more")
        self.set_focus(control)


def _placeholder(field: Field) -> str:
    if field.required:
        return "required"
    if field.ge is not None and field.le is not None:
        return f"{field.ge:g} to {field.le:g}"
    if field.repeated:
        return "several, with commas"
    return ""
