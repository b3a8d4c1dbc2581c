"""The key-map editor: choose an action, press a key; a key that is taken is refused with its owner."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui_app.config import store_option
from tui_app.keymap import keys_of, owner_of, refusal
from tui_app.keys import KEYS, bindings, key_words
from tui_app.screens.base import DeckDialog
from widgets.keys import KeySpec
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut


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
    """Every key of every screen, the actions of the tasks screen first.

    Args:
        path: The settings file.
    """

    BINDINGS: ClassVar = bindings("keys", "dialog.close")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._specs = list(KEYS.values())
        self.rows = RowList(id="keys-rows")

    def compose(self) -> ComposeResult:
        """The table."""
        with Vertical(classes="dialog -big"):
            yield Static("Keys", id="keys-title", markup=False, classes="dialog-title")
            yield self.rows
            yield Static("", id="keys-hint", markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Fill it."""
        self.rows.glyphs = self.deck.glyphs
        self.rows.fill(len(self._specs), self._draw)
        self.set_focus(self.rows)
        self._tell()

    @property
    def current(self) -> KeySpec:
        """The row under the cursor."""
        return self._specs[self.rows.cursor]

    def _draw(self, index: int, width: int) -> Row:
        spec = self._specs[index]
        keymap = self.deck.user_keys
        keys = " ".join(key_words(keys_of(spec.id, keymap)))
        return [
            Span(f"{cut(keys, 19, self.deck.glyphs.ellipsis):<20}", "key"),
            Span(f"{spec.id:<20}", "value" if spec.id in keymap else "muted"),
            Span(cut(spec.tooltip, max(0, width - 40), self.deck.glyphs.ellipsis), "muted"),
        ]

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._tell()

    def _tell(self) -> None:
        changed = len(self.deck.user_keys)
        note = f"   {changed} changed" if changed else ""
        self.query_one("#keys-title", Static).update(f"Keys: {self.current.group}{note}")
        self.query_one("#keys-hint", Static).update(
            self.deck.hint(
                ("rows.choose", "sets a key"),
                ("keys.add", "adds one"),
                ("keys.default", "default"),
                ("dialog.leave", "closes"),
            )
        )

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self._ask()

    def action_add(self) -> None:
        """One more key for the same."""
        self._ask(more=True)

    def _ask(self, *, more: bool = False) -> None:
        spec = self.current
        what = f"{spec.label} ({spec.group})"
        self.app.push_screen(PressKey(what), lambda key: self._set(spec, key, more) if key else None)

    def _set(self, spec: KeySpec, key: str, more: bool) -> None:
        keymap = self.deck.user_keys
        why, owner = refusal(spec, key), owner_of(key, spec, keymap)
        if why:
            self.deck.say(f"Choose another key: {why}.", severity="warning")
            return
        if owner is not None:
            words = " ".join(key_words(key))
            self.deck.say(f"{words} is the key for {owner.label} ({owner.id}); change that first.", severity="warning")
            return
        before = keys_of(spec.id, keymap).split(",") if more else []
        keys = ",".join(dict.fromkeys([*before, key]))
        self.deck.performer.start(self._write({**self.deck.settings.tui.keymap, spec.id: keys}))

    def action_default(self) -> None:
        """The keys as they were made, unless another row has one of them by now."""
        spec = self.current
        keymap = {name: keys for name, keys in self.deck.user_keys.items() if name != spec.id}
        for key in spec.keys.split(","):
            owner = owner_of(key, spec, keymap)
            if owner is not None:
                self.deck.say(f"{' '.join(key_words(key))} is the key for {owner.label} ({owner.id}) by now; "
                              "change that first.", severity="warning")  # fmt: skip
                return
        kept = {name: keys for name, keys in self.deck.settings.tui.keymap.items() if name != spec.id}
        self.deck.performer.start(self._write(kept))

    async def _write(self, keymap: dict[str, str]) -> None:
        config = await asyncio.to_thread(store_option, self._path, "tui.keymap", keymap)
        self.deck.settings_changed(config.settings)
        self.rows.refresh()
        self._tell()
