"""The daemon as a process: start, single instance, privacy, stop, kill -9, versions."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from engines.errors import Exit
from tests.support.station import SECONDS, Station, gone, until
from tui_app import wire
from tui_app.client.launch import answers


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def big(folder: Path, megabytes: int = 60) -> Path:
    """A folder that takes a while to pack."""
    folder.mkdir()
    block = os.urandom(500_000) + b"some words that pack well " * 20_000
    for number in range(megabytes):
        (folder / f"{number:03d}.bin").write_bytes(block[number:] + block[:number])
    return folder


def test_a_command_starts_the_daemon_and_stop_ends_it(station: Station) -> None:
    (station.root / "a.txt").write_text("a")
    try:
        assert station.run("zip", "a.txt").returncode == 0
        pid = station.pid
        assert os.getsid(pid) == pid  # a session of its own: a hang-up of ours does not reach it
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert station.run("status").returncode == 0
        assert station.pid == pid
    finally:
        stopped = station.run("stop")
    assert stopped.returncode == 0
    assert gone(pid)
    assert not answers(station.locations)
    assert "no daemon" in station.run("stop").stderr


def test_the_output_of_unpacking_is_its_destination_and_looking_warns_of_nothing(station: Station) -> None:
    (station.root / "a.txt").write_text("a")
    with station.serving():
        station.run("zip", "a.txt")
        made = station.run("unzip", "a.txt.zip", "there", "--json")
        assert json.loads(made.stdout)["view"]["output"] == str(station.root / "there")
        looked = station.run("zipinfo", "a.txt.zip", "--json")
        assert json.loads(looked.stdout)["view"]["output"] == ""
        assert "starts from the beginning" not in looked.stderr
        assert "starts from the beginning" in station.run("zip", "a.txt", "7z").stderr
        left = station.run("zip", "a.txt", "7z", "--detach")
        assert "starts from the beginning" in left.stderr and len(left.stdout.split()) == 1


def test_socket_state_and_lock_are_private(station: Station) -> None:
    with station.serving():
        path = station.locations.socket()
        assert path == station.base / "run" / "taskdeck" / "taskdeck.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for folder in (path.parent, station.state):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for item in station.state.iterdir():
            assert stat.S_IMODE(item.stat().st_mode) == 0o600, item
    assert not path.exists()
    assert not station.locations.record.exists()


def test_a_second_daemon_says_who_holds_the_lock(station: Station) -> None:
    with station.serving() as first:
        second = station.run("serve")
        assert second.returncode == Exit.CONFLICT
        assert f"process {first.pid}" in second.stderr
        assert "[daemon.running]" in second.stderr
        assert station.run("status").returncode == 0


def test_ten_commands_at_once_start_one_daemon(station: Station) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(station.run("status").returncode)) for _ in range(10)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0] * 10
    finally:
        station.stop()


def test_clients_without_the_runtime_folder_find_the_daemon(station: Station) -> None:
    with station.serving() as child:
        del station.environment["XDG_RUNTIME_DIR"]
        assert station.json("version")["daemon"]["pid"] == child.pid


@pytest.mark.slow
def test_paused_and_running_tasks_outlive_kill_9(station: Station) -> None:
    big(station.root / "one", 40)
    big(station.root / "two", 40)
    try:
        one = station.run("zip", "one", "zip", "9", "--detach").stdout.strip()
        two = station.run("zip", "two", "zip", "9", "--detach", "--paused").stdout.strip()
        until(lambda: station.json("show", one)["view"]["done"] > 0)
        station.kill()
        assert station.run("wait", one).returncode == 0
        assert station.json("show", two)["view"]["state"] == "paused"
        assert station.run("resume", two).stdout.split()[0] == two
        assert station.run("wait", two).returncode == 0
    finally:
        station.stop()
    for name in ("one", "two"):
        target = station.base / f"out {name}"
        assert station.run("unzip", f"{name}.zip", str(target), "--foreground", "--json").returncode == Exit.REFUSED
        inside = station.root / f"out {name}"
        assert station.run("unzip", f"{name}.zip", str(inside), "--foreground").returncode == 0
        unpacked = inside / name if (inside / name).exists() else inside
        for path in (station.root / name).iterdir():
            assert (unpacked / path.name).read_bytes() == path.read_bytes()
    leftovers = [path.name for path in station.root.iterdir() if path.name.startswith(".")]
    assert leftovers == []


@pytest.mark.slow
def test_a_waiting_command_goes_on_when_the_daemon_comes_back(station: Station) -> None:
    big(station.root / "one", 40)
    try:
        task = station.run("zip", "one", "zip", "9", "--detach").stdout.strip()
        until(lambda: station.json("show", task)["view"]["done"] > 0)
        status: list[int] = []
        waiting = threading.Thread(target=lambda: status.append(station.run("wait", task).returncode))
        waiting.start()
        time.sleep(0.3)  # until it listens: nothing tells when; too early only makes the test easier
        station.kill()
        station.run("status")
        waiting.join()
        assert status == [0]
    finally:
        station.stop()


@pytest.mark.slow
def test_stop_drain_lets_the_running_task_finish_and_starts_no_other(station: Station) -> None:
    big(station.root / "one", 20)
    big(station.root / "two", 20)
    try:
        one = station.run("zip", "one", "tar.xz", "9", "--detach").stdout.strip()  # slow enough to be met at work
        two = station.run("zip", "two", "zip", "0", "--detach").stdout.strip()
        until(lambda: station.json("show", one)["view"]["state"] == "running")
        assert station.run("stop", "--drain").returncode == 0
        assert (station.root / "one.tar.xz").exists()
        assert not (station.root / "two.zip").exists()
        assert station.run("wait", one, two).returncode == 0
    finally:
        station.stop()


def test_sigterm_ends_the_daemon_and_sighup_reads_the_settings_again(station: Station) -> None:
    station.environment.pop("TASKDECK_TASKS_WARM_WORKERS")
    station.locations.config.parent.mkdir(parents=True)
    station.locations.config.write_text("[tasks]\nlog_lines = 100\n")
    with station.serving() as child:
        station.locations.config.write_text("[tasks]\nlog_lines = nonsense\n")
        child.send_signal(signal.SIGHUP)
        until(lambda: "the settings stay as they were" in station.locations.log.read_text())
        station.locations.config.write_text("[tasks]\nlog_lines = 200\n")
        child.send_signal(signal.SIGHUP)
        until(lambda: "the settings were read again" in station.locations.log.read_text())
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 0


def test_config_set_reaches_the_running_daemon(station: Station) -> None:
    with station.serving():
        assert station.run("web", "url").returncode == Exit.USAGE
        station.run("config", "set", "web.port", "0")
        assert json.loads(station.run("config", "set", "web.enabled", "true", "--json").stdout)["reloaded"] is True
        until(lambda: station.run("web", "url").returncode == 0)
        assert station.run("web", "url").stdout.startswith("http://127.0.0.1:")
        token = station.run("web", "token").stdout.strip()
        assert token.startswith("deck_")
        for log in (station.locations.log.read_text(), station.run("config").stdout, station.run("doctor").stdout):
            assert token not in log


def test_an_open_dashboard_without_tls_is_warned_of_until_it_is_closed(station: Station) -> None:
    station.environment |= {"TASKDECK_WEB_HOST": "127.1", "TASKDECK_WEB_PORT": "0"}  # not known to be this machine's
    with station.serving():
        assert "!" not in station.run("status").stdout
        station.run("config", "set", "web.enabled", "true")
        until(lambda: "! The dashboard on http://127.1:" in station.run("status").stdout)
        assert "is open to the network without TLS" in station.run("doctor").stdout
        station.run("config", "set", "web.enabled", "false")
        until(lambda: "!" not in station.run("status").stdout)


def test_a_daemon_that_cannot_start_is_explained_with_its_reason(station: Station) -> None:
    station.environment["TASKDECK_ROOTS"] = str(station.base / "nowhere")
    done = station.run("status")
    assert done.returncode == Exit.NO_DAEMON
    assert "nowhere" in done.stderr
    assert "[daemon.absent]" in done.stderr


def test_the_unit_leads_to_the_same_state_folder(station: Station) -> None:
    """What a shell's start-up files say of folders is unknown to systemd."""
    station.environment["XDG_STATE_HOME"] = f'{station.base}/a "b" 100% $x'
    station.environment["TASKDECK_CONFIG"] = "own.toml"
    lines = station.run("service", "print").stdout.splitlines()
    assert f'Environment="XDG_STATE_HOME={station.base}/a \\"b\\" 100%% $x"' in lines
    assert f'Environment="TASKDECK_CONFIG={station.root}/own.toml"' in lines


def test_systemd_is_told_when_the_daemon_is_ready(station: Station) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(station.base / "notify"))
        listener.settimeout(SECONDS)
        station.environment["NOTIFY_SOCKET"] = str(station.base / "notify")
        with station.serving():
            assert listener.recv(100) == b"READY=1"
        assert listener.recv(100) == b"STOPPING=1"


def test_a_daemon_of_another_protocol_is_recognised(station: Station) -> None:
    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"type":"hello","version":"0.0.1","protocol":0,"pid":1,"started":0}'
            self.send_response(200)
            self.send_header(wire.PROTOCOL_HEADER, "0")
            self.send_header(wire.VERSION_HEADER, "0.0.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(HTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "localhost", 0

        def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
            return super().get_request()[0], ("local", 0)

    path = station.base / "run" / "taskdeck" / "taskdeck.sock"
    path.parent.mkdir()
    with Server(str(path), Old) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        refused = station.run("status")
        assert refused.returncode == Exit.CONFLICT
        assert "0.0.1" in refused.stderr
        assert "taskdeck restart" in refused.stderr
        assert "[daemon.version]" in refused.stderr
        assert station.json("version")["daemon"]["protocol"] == 0
        server.shutdown()


def test_the_demo_stops_the_daemon_it_started_unless_that_has_other_work(station: Station) -> None:
    done = station.run("demo", "--size", "1")
    assert done.returncode == 0, done.stderr
    assert not answers(station.locations)
    assert "has stopped" in done.stdout
    (station.root / "a.txt").write_text("a")
    station.run("zip", "a.txt", "--paused", "--detach")
    station.stop()
    assert "goes on" in station.run("demo", "--size", "1").stdout
    assert answers(station.locations)
    station.stop()


async def test_a_daemon_from_before_an_upgrade_is_recognised(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same version, but other files on the disk than when it was started."""
    import asyncio

    async with station.daemon():
        same = await asyncio.to_thread(station.run, "status")
        assert (same.returncode, same.stderr) == (Exit.OK, "")
        monkeypatch.setattr(wire, "build", lambda: "0ld")
        told = await asyncio.to_thread(station.run, "status")
        assert told.returncode == Exit.OK
        assert told.stderr.count("taskdeck restart") == 1
        report = (await asyncio.to_thread(station.run, "doctor")).stdout
        assert "started before the program was changed" in report


def test_the_log_rotates_and_holds_no_password(station: Station) -> None:
    (station.root / "a.txt").write_text("a")
    with station.serving():
        station.run("zip", "a.txt", "7z", "--password-stdin", stdin=b"hunter2-secret\n")
        for item in station.state.iterdir():
            assert b"hunter2-secret" not in item.read_bytes(), item
