"""Folders and the socket: XDG, path length, privacy."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.paths import PathPolicy
from tui_app.locations import SOCKET_LIMIT, Locations, private_directory, write_private
from tui_app.web.server import bind_unix


def at(tmp_path: Path, **extra: str) -> Locations:
    (tmp_path / "run").mkdir(exist_ok=True)
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), **extra}
    found = Locations.of(environ)
    private_directory(found.state)
    return found


def test_xdg_is_followed_and_relative_values_are_ignored(tmp_path: Path) -> None:
    plain = Locations.of({"HOME": "/h", "XDG_STATE_HOME": "relative", "XDG_CONFIG_HOME": "/c"})
    assert plain.state == Path("/h/.local/state/taskdeck")
    assert plain.config == Path("/c/taskdeck/taskdeck.toml")
    assert plain.socket() == plain.state / "taskdeck.sock"
    assert at(tmp_path).socket() == tmp_path / "run" / "taskdeck" / "taskdeck.sock"


def test_who_has_no_home_names_the_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user who is in no database
    assert Locations.of({"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"}).state == Path("/s/taskdeck")
    with pytest.raises(TaskdeckError) as caught:
        Locations.of({"XDG_STATE_HOME": "/s"})
    assert caught.value.code == "settings.invalid"
    with pytest.raises(TaskdeckError) as caught:
        PathPolicy.of(())
    assert caught.value.code == "settings.invalid"


def test_no_socket_path_is_too_long_for_the_kernel(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    found = at(tmp_path, XDG_STATE_HOME=str(deep), XDG_RUNTIME_DIR=str(tmp_path / "gone"))
    listener, path = bind_unix(found)
    try:
        assert len(os.fsencode(path)) <= SOCKET_LIMIT
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
        assert found.socket() == path
    finally:
        listener.close()
        path.unlink()


def test_the_record_leads_clients_without_the_runtime_folder_to_the_socket(tmp_path: Path) -> None:
    found = at(tmp_path)
    listener, path = bind_unix(found)
    listener.close()
    assert path.parent == tmp_path / "run" / "taskdeck"
    assert Locations.of({"HOME": str(tmp_path)}).socket() == path


def test_a_leftover_socket_is_replaced_but_a_living_one_of_another_is_not(tmp_path: Path) -> None:
    first = at(tmp_path, XDG_STATE_HOME=str(tmp_path / "one"))
    second = at(tmp_path, XDG_STATE_HOME=str(tmp_path / "two"))
    leftover, path = bind_unix(first)
    leftover.close()
    again, same = bind_unix(first)
    again.listen()
    other, different = bind_unix(second)
    assert same == path
    assert different != path
    again.close()
    other.close()


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    found = at(tmp_path)
    private_directory(tmp_path / "run" / "taskdeck")
    precious = tmp_path / "run" / "taskdeck" / "taskdeck.sock"
    precious.write_text("precious")
    listener, path = bind_unix(found)
    listener.close()
    assert path != precious
    assert precious.read_text() == "precious"


def test_an_open_folder_is_closed_and_a_foreign_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    private_directory(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(TaskdeckError, match="does not belong"):
        private_directory(folder)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(TaskdeckError):
        private_directory(tmp_path / "link")


def test_private_files_are_private_from_their_first_byte(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_socket_constant_is_the_kernels() -> None:
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind("x" * (SOCKET_LIMIT + 1))
