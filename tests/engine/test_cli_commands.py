"""The command line against a real daemon: results, JSON on standard output alone, exit statuses of every bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import CODES, Exit
from tests.support.modes import bound_by_modes
from tests.support.station import SECONDS, Station, until
from tui_app.client.launch import answers


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """One daemon for the whole module."""
    found = Station(tmp_path_factory.mktemp("deck"))
    with found.serving():
        yield found


@pytest.fixture
def station(deck: Station) -> Iterator[Station]:
    """The same daemon with an empty root."""
    yield deck
    for item in deck.root.iterdir():
        shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()


def tree(root: Path, name: str = "films") -> Path:
    folder = root / name
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a" * 10_000)
    (folder / "deep" / "b.bin").write_bytes(os.urandom(5_000))
    return folder


def test_zip_waits_and_prints_the_guides_reply(station: Station) -> None:
    tree(station.root)
    done = station.run("zip", "films", "tar.gz", "9")
    assert done.returncode == 0
    assert done.stdout.startswith("Archive Created Successfully!\n\nFormat: TAR.GZ\nFilename: films.tar.gz\n")
    assert done.stdout.isascii()
    assert (station.root / "films.tar.gz").exists()


def test_relative_paths_start_from_the_callers_folder(station: Station) -> None:
    folder = tree(station.root)
    assert station.run("zip", "deep", cwd=folder).returncode == 0
    assert (folder / "deep.zip").exists()
    assert station.run("unzip", "../films/deep.zip", "../out", cwd=folder).returncode == 0
    assert any((station.root / "out").rglob("b.bin"))


def test_detach_prints_the_id_alone_and_wait_tells_the_end(station: Station) -> None:
    tree(station.root)
    done = station.run("zip", "films", "--detach")
    task = done.stdout.strip()
    assert done.stdout == f"{task}\n"
    assert task.isalnum()
    waited = station.run("wait", task)
    assert waited.returncode == 0
    assert waited.stdout.split()[:3] == [task, "completed", "zip"]


def test_json_is_one_document_on_standard_output(station: Station) -> None:
    tree(station.root)
    station.run("zip", "films")
    for line in (
        "zip films", "zip films --detach", "zip films --foreground", "zipinfo films.zip", "status", "history",
        "history status:failed", "config", "doctor", "version", "pause --all", "resume --all",
    ):  # fmt: skip
        done = station.run(*line.split(), "--json")
        assert done.returncode == 0, (line, done.stderr)
        json.loads(done.stdout)


def test_json_of_a_failure_is_one_document_too(station: Station) -> None:
    done = station.run("zip", "nowhere", "--json")
    assert done.returncode == Exit.NOT_FOUND
    assert json.loads(done.stdout)["error"]["code"] == "path.missing"
    (station.root / "no.zip").write_text("no archive")
    failed = station.run("unzip", "no.zip", "--json")
    assert json.loads(failed.stdout)["view"]["state"] == "failed"
    assert failed.returncode == Exit.USAGE


def test_json_of_a_half_success_here_is_one_document(station: Station) -> None:
    folder = station.root / "films"
    folder.mkdir()
    (folder / "broken.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(2000))
    done = station.run("mediatest", "films", "--foreground", "--json")
    document = json.loads(done.stdout)
    assert len(document["result"]["files"]) == 1
    assert done.returncode == CODES[document["error"]["code"]].exit != 0
    assert document["error"]["code"] in done.stderr


def test_names_are_the_same_bytes_in_every_locale(station: Station) -> None:
    name = os.fsencode(station.root) + b"/caf\xc3\xa9"
    with open(name, "wb"):
        pass
    other = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # file names are ASCII to this Python
    for words in (("--foreground",), ()):
        done = station.run("zip", "café", "--on-conflict", "overwrite", *words, env=other)
        assert done.returncode == 0, done.stderr
        assert os.path.exists(name + b".zip")
        os.unlink(name + b".zip")


def test_foreground_needs_no_daemon(tmp_path: Path) -> None:
    station = Station(tmp_path)
    tree(station.root)
    done = station.run("zip", "films", "--foreground", "--json")
    assert json.loads(done.stdout)["op"] == "zip"
    assert (station.root / "films.zip").exists()
    assert not station.state.exists()


def test_control_commands_and_their_statuses(station: Station) -> None:
    tree(station.root)
    task = station.run("zip", "films", "--detach", "--paused").stdout.strip()
    assert station.run("status", "status:paused").stdout.count(task) == 1
    assert station.run("pause", task).returncode in (Exit.OK, Exit.CONFLICT)
    assert station.run("resume", task).returncode == 0
    assert station.run("wait", task).returncode == 0
    assert station.run("pause", task).returncode == Exit.CONFLICT
    other = station.run("zip", "films", "--detach", "--paused").stdout.strip()
    assert station.run("cancel", other).stdout == f"{other} cancelled\n"
    assert station.run("wait", other).returncode == Exit.CANCELLED
    assert station.run("retry", other).returncode == 0
    assert station.run("wait", other).returncode == 0
    assert station.run("remove", other).stdout == f"{other} removed\n"
    assert station.run("show", other).returncode == Exit.NOT_FOUND


def test_pause_for_a_while_comes_back_by_itself(station: Station) -> None:
    tree(station.root)
    station.run("pause", "--all")
    task = station.run("zip", "films", "--detach").stdout.strip()
    station.run("pause", task, "--for", "2s")
    station.run("resume", "--all")
    assert station.run("wait", task).returncode == 0


def test_priority_at_after_and_key(station: Station) -> None:
    tree(station.root)
    station.run("pause", "--all")
    try:
        first = station.run("zip", "films", "--detach", "--key", "same").stdout.strip()
        assert station.run("zip", "films", "--detach", "--key", "same").stdout.strip() == first
        assert station.run("zip", "films/deep", "--detach", "--key", "same").returncode == Exit.CONFLICT
        after = station.run("zip", "films", "--detach", "--after", first).stdout.strip()
        assert "priority 5" in station.run("priority", first, "5").stdout
        assert "priority 500" in station.run("priority", first, "500").stdout
        later = station.run("zip", "films", "--detach", "--at", "1h").stdout.strip()
        assert station.json("show", later)["view"]["reason"] == "schedule"
        assert station.json("show", after)["after"] == [first]
        station.run("cancel", later)
    finally:
        station.run("resume", "--all")
    assert station.run("wait", after).returncode == 0


def test_history_exports_csv_and_filters(station: Station) -> None:
    tree(station.root, "one, two")
    station.run("zip", "one, two")
    text = station.run("history", "one", "--csv").stdout
    assert text.startswith("id,operation,title")
    assert '"one, two"' in text


def test_logs_show_and_status_are_plain_without_a_terminal(station: Station) -> None:
    tree(station.root)
    task = station.run("zip", "films", "--detach").stdout.strip()
    station.run("wait", task)
    assert station.run("logs", task, "-f").returncode == 0
    shown = station.run("show", task).stdout
    assert "taskdeck zip" in shown
    for words in (["show", task], ["status"], ["history"], ["logs", task]):
        assert "\x1b" not in station.run(*words).stdout


def test_a_password_comes_from_a_file_or_standard_input(station: Station) -> None:
    tree(station.root)
    assert station.run("zip", "films", "7z", "--password-stdin", stdin=b"open sesame\n").returncode == 0
    secret = station.root / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    good = station.run("unzip", "films.7z", "out", "--password-file", str(secret))
    assert good.returncode == 0, good.stderr
    wrong = station.run("unzip", "films.7z", "out2", "--password-stdin", stdin=b"wrong\n")
    assert wrong.returncode == Exit.PASSWORD
    assert "sesame" not in wrong.stderr
    typed = station.run("unzip", "films.7z", "out3", "open sesame")
    assert typed.returncode == 0
    assert "visible to other users" in typed.stderr
    assert "sesame" not in station.run("history", "--csv").stdout
    both = station.run("unzip", "films.7z", "out4", "x", "--password-stdin", stdin=b"x\n")
    assert both.returncode == Exit.USAGE


def bad_inputs(root: Path) -> dict[str, tuple[list[str], Exit, str]]:
    """Every bad input of the promise: words, exit status, code."""
    (root / "plain.txt").write_text("x")
    (root / "link").symlink_to("nowhere")
    (root / "evil.zip").write_bytes(b"PK\x03\x04 not really")
    return {
        "missing": (["zip", "missing"], Exit.NOT_FOUND, "path.missing"),
        "missing archive": (["unzip", "missing.zip"], Exit.NOT_FOUND, "path.missing"),
        "outside": (["zip", "/etc/hostname"], Exit.REFUSED, "path.outside_roots"),
        "outside by dots": (["zip", "../../../etc"], Exit.REFUSED, "path.outside_roots"),
        "output outside": (["zip", "plain.txt", "--output", "/tmp/x.zip"], Exit.REFUSED, "path.outside_roots"),
        "level": (["zip", "plain.txt", "zip", "99"], Exit.USAGE, "value"),
        "format": (["zip", "plain.txt", "arj"], Exit.USAGE, "value"),
        "not an archive": (["unzip", "plain.txt"], Exit.USAGE, "archive.not_archive"),
        "no such task": (["show", "zzzzzz"], Exit.NOT_FOUND, "task.missing"),
        "no such filter": (["status", "status:blue"], Exit.USAGE, "value"),
        "empty path": (["zip", ""], Exit.USAGE, "usage"),
        "far too long": (["zip", "x" * 5000], Exit.USAGE, "value"),
    }


def test_every_bad_input_is_one_sentence_with_its_code_and_status(station: Station) -> None:
    for name, (words, status, code) in bad_inputs(station.root).items():
        before = sorted(os.listdir(station.root))
        for more in ([], ["--foreground"] if words[0] in ("zip", "unzip") else []):
            done = station.run(*words, *more)
            last = done.stderr.strip().splitlines()[-1]
            assert done.returncode == status, (name, more, done.stderr)
            assert last.endswith(f"[{code}]"), (name, more, last)
            assert done.stdout == "", name
        assert sorted(os.listdir(station.root)) == before, name


@pytest.mark.parametrize(
    "name", ["new\nline", "esc\x1b[31mred", "[bold]markup", "rtl\u202egnp.exe", "-rf", "spa ce", "trailing.", "%s%n"]
)
def test_hostile_names_work_and_are_shown_safely(station: Station, name: str) -> None:
    (station.root / name).mkdir()
    (station.root / name / "inside").write_text("x")
    done = station.run("zip", "--", name)
    assert done.returncode == 0, done.stderr
    assert (station.root / f"{name}.zip").exists()
    for text in (done.stdout, station.run("status").stdout, station.run("history", "--csv").stdout):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "new\nline" not in text


def test_names_that_are_no_utf8_work(station: Station) -> None:
    raw = os.fsencode(station.root) + b"/caf\xe9"
    os.mkdir(raw)
    done = subprocess.run(
        [*map(os.fsencode, station.argv("zip")), b"caf\xe9"],
        cwd=station.root, env=station.environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.path.exists(raw + b".zip")


@pytest.mark.parametrize(
    "words", ["zip x --key \udcff", "zip x --exclude \udcff*", "status \udcff", "cancel --filter \udcff"]
)
def test_words_that_are_no_utf8_are_refused_where_they_are_no_paths(station: Station, words: str) -> None:
    (station.root / "x").touch()
    done = station.run(*words.split(" "))
    assert done.returncode == Exit.USAGE and "[value]" in done.stderr


def test_a_dangling_link_and_a_trailing_slash_are_fine(station: Station) -> None:
    tree(station.root)
    (station.root / "films" / "gone").symlink_to("nowhere")
    assert station.run("zip", "films/").returncode == 0
    with zipfile.ZipFile(station.root / "films.zip") as archive:
        assert any(name.endswith("gone") for name in archive.namelist())


def run_bound(station: Station, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command of somebody whom file modes bind."""
    argv = bound_by_modes(station.argv(*words))
    return subprocess.run(argv, cwd=station.root, env=station.environment, capture_output=True, timeout=60, check=False)


def test_an_unreadable_file_is_refused_by_name(station: Station) -> None:
    secret = tree(station.root) / "secret"
    secret.write_text("x")
    secret.chmod(0)
    done = run_bound(station, "zip", "films/secret", "--foreground")
    text = done.stderr.decode()
    assert done.returncode == Exit.REFUSED, text
    assert "secret" in text and "[path.unreadable]" in text and "Traceback" not in text
    assert [path.name for path in station.root.iterdir()] == ["films"]


def test_an_unreadable_file_in_a_folder_is_left_out_and_told(station: Station) -> None:
    secret = tree(station.root) / "secret"
    secret.write_text("x")
    secret.chmod(0)
    done = run_bound(station, "zip", "films", "--foreground")
    assert done.returncode == Exit.OK
    assert "'films/secret' is left out: Permission denied" in done.stderr.decode()
    with zipfile.ZipFile(station.root / "films.zip") as archive:
        assert "films/secret" not in archive.namelist() and archive.namelist()


def test_a_reader_that_leaves_is_no_error(station: Station) -> None:
    script = f"{sys.executable} -P -m tui_app --help | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], env=station.environment, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""
    assert done.returncode in (0, 141)


@pytest.mark.parametrize(("words", "status"), [("version >&-", 0), ("nonsense 2>&-", 2), ("status <&- >&- 2>&-", 0)])
def test_closed_streams_are_no_fault(station: Station, words: str, status: int) -> None:
    script = f"exec {sys.executable} -P -m tui_app {words}"
    done = subprocess.run(["bash", "-c", script], env=station.environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_help_of_every_command_works(station: Station) -> None:
    from tui_app.cli.parser import command_parser
    from tui_app.cli.registry import commands

    for command in commands().values():
        assert command_parser(command).format_help().startswith(f"usage: taskdeck {command.name}")
    text = station.run("--help").stdout
    for name, command in commands().items():
        assert command.hidden or f"  {name}" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid(station: Station, shell: str) -> None:
    script = station.run("completions", shell).stdout
    if shutil.which(shell) is None:
        assert "__complete" in script
        return
    check = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True, timeout=30, check=False)
    assert check.returncode == 0, check.stderr


def test_bash_completes_commands_and_ids(station: Station, tmp_path: Path) -> None:
    tree(station.root, "films and more")
    (tmp_path / "taskdeck").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m tui_app "$@"\n')
    (tmp_path / "taskdeck").chmod(0o755)
    task = station.run("zip", "films and more", "--detach", "--paused").stdout.strip()

    def complete(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        script = f"""eval "$(taskdeck completions bash)"
COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _taskdeck; printf '%s\\n' "${{COMPREPLY[@]}}" """
        environment = station.environment | {"PATH": f"{tmp_path}:{station.environment['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=station.root, env=environment, capture_output=True, timeout=60, check=False
        )
        return done.stdout.decode().split("\n")[:-1]

    assert complete("taskdeck", "zi") == ["zip", "zipinfo", "ziptest"]
    assert "--detach" in complete("taskdeck", "zip", "x", "--")
    assert complete("taskdeck", "resume", task[:2]) == [task]
    station.run("cancel", task)


def test_the_demo_ends_well_and_leaves_nothing(station: Station) -> None:
    done = station.run("demo", "--size", "4")
    assert done.returncode == 0, done.stderr
    assert "the same" in done.stdout
    assert "\x1b" not in done.stdout
    assert os.listdir(station.root) == []
    assert answers(station.locations), "the daemon was there before"


def test_status_watch_tells_a_pipe_every_change_until_interrupted(station: Station) -> None:
    child = subprocess.Popen(
        station.argv("status", "--watch"), env=station.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    assert b"changes follow" in first
    tree(station.root, "watched")
    station.run("zip", "watched")
    told = b""
    while b"completed" not in told:
        told = child.stdout.readline()
        assert told, "it ended by itself"
        assert told != first, "the whole list again"
    assert b"watched" in told
    child.send_signal(2)
    assert child.wait(SECONDS) == 0


def test_interrupting_a_waiting_script_detaches(station: Station) -> None:
    tree(station.root)
    station.run("pause", "--all")
    try:
        child = subprocess.Popen(
            station.argv("zip", "films"), cwd=station.root, env=station.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert child.stderr is not None
        task = child.stderr.readline().split()[0].decode()
        child.send_signal(2)
        assert child.wait(SECONDS) == Exit.DETACHED
    finally:
        station.run("resume", "--all")
    until(lambda: station.json("show", task)["view"]["state"] == "completed")


def test_again_queues_the_same_operation_as_a_new_task(station: Station) -> None:
    tree(station.root, "odd\nname")
    assert station.run("zip", "odd\nname").returncode == 0
    first = station.json("history", "--limit", "1")["tasks"][0]
    done = station.run("again", first["id"])
    assert done.returncode == 0, done.stderr
    again = done.stdout.split()[0]
    assert again != first["id"]
    assert station.run("wait", again).returncode == 0
    assert len(list(station.root.glob("odd*.zip"))) == 2
    assert station.run("again", "zzzz").returncode == Exit.NOT_FOUND


def test_output_that_cannot_be_written_is_said_and_is_no_fault_of_ours(station: Station) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            station.argv("status"),
            env=station.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == Exit.NO_SPACE
    assert done.stderr.decode() == (
        "taskdeck: cannot write 'standard output': the disk is full; free some space and retry. [disk.full]\n"
    )
