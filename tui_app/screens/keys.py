"""The key-map editor: choose an action, press a key; a key that is taken is refused with its owner."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.actions import ACTIONS, ActionSpec, key_words, keys_of
from tui_app.config import store_option
from tui_app.screens.base import DeckDialog
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut

_RESERVED = {"ctrl+c": "leaving", "ctrl+q": "leaving", "escape": "closing"}


class PressKey(DeckDialog[str]):
    """Gives the name of the next key pressed; escape gives None."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def compose(self) -> ComposeResult:
        """What is asked."""
        with Vertical(classes="dialog"):
            yield Static(f"Press the new key for: {self._label}", markup=False, classes="dialog-title")
            yield Static("esc keeps the old one", markup=False, classes="dialog-hint")

    def on_key(self, event: events.Key) -> None:
        """Take it."""
        event.stop()
        event.prevent_default()
        self.dismiss(None if event.key == "escape" else event.key)


class KeysDialog(DeckDialog[None]):
    """Every action with its keys.

    Args:
        path: The settings file.
    """

    BINDINGS: ClassVar = [
        Binding("q", "leave", "Close", show=False, id="keys.close"),
        Binding("backspace,delete", "default", "Default", show=False, id="keys.default"),
    ]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._specs = list(ACTIONS.values())
        self.rows = RowList(id="keys-rows")

    def compose(self) -> ComposeResult:
        """The table."""
        with Vertical(classes="dialog -big"):
            yield Static("Keys", markup=False, classes="dialog-title")
            yield self.rows
            yield Static("enter sets a key  backspace brings the default back  esc closes", markup=False,
                         classes="dialog-hint")  # fmt: skip

    def on_mount(self) -> None:
        """Fill it."""
        self.rows.glyphs = self.deck.glyphs
        self.rows.fill(len(self._specs), self._draw)
        self.set_focus(self.rows)

    @property
    def current(self) -> ActionSpec:
        """The action under the cursor."""
        return self._specs[self.rows.cursor]

    def _draw(self, index: int, width: int) -> Row:
        spec = self._specs[index]
        keymap = self.deck.settings.tui.keymap
        changed = spec.id in keymap
        keys = " ".join(key_words(keys_of(spec.id, keymap)))
        return [
            Span(f"{cut(keys, 15):<16}", "key"),
            Span(f"{spec.id:<20}", "" if changed else "muted"),
            Span(cut(spec.tooltip, max(0, width - 36)), "muted"),
        ]

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        spec = self.current
        self.app.push_screen(PressKey(spec.label), lambda key: self._set(spec, key) if key else None)

    def _set(self, spec: ActionSpec, key: str) -> None:
        keymap = dict(self.deck.settings.tui.keymap)
        others = [other for other in self._specs if other is not spec]
        owner = next((other for other in others if key in keys_of(other.id, keymap).split(",")), None)
        if key in _RESERVED or owner is not None:
            what = _RESERVED.get(key) or (owner.label if owner is not None else "")
            self.deck.say(f"{' '.join(key_words(key))} is the key for {what}; change that first.", severity="warning")
            return
        self.deck.performer.start(self._write({**keymap, spec.id: key}))

    def action_default(self) -> None:
        """The key as it was made."""
        keymap = {name: keys for name, keys in self.deck.settings.tui.keymap.items() if name != self.current.id}
        self.deck.performer.start(self._write(keymap))

    async def _write(self, keymap: dict[str, str]) -> None:
        try:
            config = await asyncio.to_thread(store_option, self._path, "tui.keymap", keymap)
        except OSError as error:
            raise TaskdeckError("disk.io", f"cannot write {display(self._path)}", error.strerror or "") from None
        self.deck.settings_changed(config.settings)
        self.rows.refresh()
