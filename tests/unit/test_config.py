"""Settings: where values come from, what is refused and how the refusal reads, edits that keep the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import TaskdeckError
from engines.settings import GUIDE_NAMES, WebSettings
from scripts.make_docs import ROOT
from tui_app import config
from tui_app.config import Origin, load, options, set_option
from tui_app.config_sample import page, sample
from tui_app.keys import KEYS
from tui_app.toml_edit import literal, set_value


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "taskdeck.toml"


def refusal(file: Path, **kinds: dict[str, str]) -> str:
    with pytest.raises(TaskdeckError) as refused:
        load(file, environ=kinds.get("environ", {}), flags=kinds.get("flags", {}))
    assert refused.value.code == "settings.invalid"
    return refused.value.message


def test_later_sources_win_and_are_named(file: Path) -> None:
    write(
        file,
        'THUMBNAIL_FORMAT = "webp"\nFFMPEG_PATH = "/guide"\n'
        '[web]\nport = 1\nhost = "::1"\n[media]\nffmpeg_path = "/ours"\n',
    )
    environ = {"WEB_DASHBOARD_PORT": "2", "TASKDECK_WEB_PORT": "3", "ARCHIVE_DEFAULT_LEVEL": "9", "HOME": "/"}
    found = load(file, environ=environ, flags={"archive.default_level": "1"})
    assert found.settings.web.port == 3
    assert found.settings.web.host == "::1"
    assert found.settings.archive.default_level == 1
    assert found.settings.media.thumbnail_format == "webp"
    assert found.settings.media.ffmpeg_path == "/ours"
    origins = {key: source.origin for key, source in found.sources.items()}
    assert origins["web.port"] is Origin.ENVIRONMENT
    assert found.sources["web.port"].where == "TASKDECK_WEB_PORT"
    assert origins["web.host"] is Origin.FILE
    assert origins["archive.default_level"] is Origin.FLAG
    assert origins["web.enabled"] is Origin.DEFAULT


def test_every_setting_can_be_given_in_the_environment_and_every_guide_name_is_known(file: Path) -> None:
    for key, option in options().items():
        text = literal(option.default).strip('"')
        if isinstance(option.default, (tuple, dict)):
            text = ""
        if isinstance(option.default, bool):
            text = str(option.default)
        found = load(file, environ={option.variable: text})
        assert found.sources[key].origin is Origin.ENVIRONMENT, key
        assert found.value(key) == option.default, key
    assert set(GUIDE_NAMES.values()) <= options().keys()


def test_lists_sizes_and_truths_from_the_environment(file: Path) -> None:
    found = load(
        file,
        environ={
            "TASKDECK_ROOTS": "/a b:/c,d",
            "TASKDECK_TELEGRAM_ALLOWED_USERS": "1, 2",
            "TASKDECK_WEB_ALLOWED_HOSTS": "a.example,b.example",
            "TASKDECK_TASKS_DISK_FLOOR": "512 MiB",
            "TASKDECK_WEB_ENABLED": "Yes",
            "TASKDECK_TUI_KEYMAP": "task.pause=p,task.resume=r",
        },
    ).settings
    assert found.roots == ("/a b", "/c,d")
    assert found.telegram.allowed_users == (1, 2)
    assert found.web.allowed_hosts == ("a.example", "b.example")
    assert found.tasks.disk_floor == 512 << 20
    assert found.web.enabled is True
    assert found.tui.keymap == {"task.pause": "p", "task.resume": "r"}


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("TASKDECK_WEB_PORT", "eighty", "whole number"),
        ("TASKDECK_WEB_PORT", "70000", "65535"),
        ("TASKDECK_WEB_ENABLED", "maybe", "true nor false"),
        ("TASKDECK_TASKS_DISK_FLOOR", "much", "size"),
        ("TASKDECK_TASKS_IONICE", "realtime", "best-effort"),
        ("ARCHIVE_DEFAULT_FORMAT", "rar", "tar.zst"),
        ("THUMBNAIL_SIZE", "320:-1,drawtext=x", "two whole numbers"),
        ("THUMBNAIL_SIZE", "-1:-1", "two whole numbers"),
        ("THUMBNAIL_SIZE", "320", "two whole numbers"),
        ("THUMBNAIL_SIZE", "٣٢٠:-1", "two whole numbers"),
        ("THUMBNAIL_FORMAT", "gif", "webp"),
        ("TASKDECK_WEB_TLS_KEY", "/key.pem", "go together"),
        ("TASKDECK_WEB_URL_PREFIX", "deck/", "look like"),
        ("TASKDECK_ARCHIVE_TEMP_DIR", "tmp", "absolute"),
    ],
)
def test_a_bad_variable_is_refused_by_name(file: Path, variable: str, value: str, why: str) -> None:
    message = refusal(file, environ={variable: value})
    assert variable in message or options()[GUIDE_NAMES.get(variable, "")].key in message
    assert why in message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[web]\nport = 'x'\n", "web.port"),
        ("[web]\nprot = 1\n", "web.port"),
        ("[wbe]\nport = 1\n", "no such setting"),
        ("roots = '/home'\n", "roots"),
        ("[web\n", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(file: Path, text: str, why: str) -> None:
    message = refusal(write(file, text))
    assert str(file) in message
    assert why in message


def test_secrets_are_neither_shown_nor_in_errors(file: Path) -> None:
    write(file, '[telegram]\nbot_token = "tok-secret"\n')
    found = load(file, environ={})
    assert config.shown(found, options()["telegram.bot_token"]) == config.MASK
    write(file, '[telegram]\nbot_token = ["tok-secret"]\n')
    assert "tok-secret" not in refusal(file)


def test_misspelt_variables_are_reported(file: Path) -> None:
    found = load(file, environ={"TASKDECK_WEB_PROT": "1", "TASKDECK_DEBUG": "1", "OTHER": "1"})
    assert found.unknown_variables == ("TASKDECK_WEB_PROT",)


def test_set_keeps_comments_and_the_rest(file: Path) -> None:
    write(
        file,
        "# mine\nroots = [\n  '/a', # first\n]\n\n"
        "[web] # the page\nport = 8000 # as the guide says\n\n[tui]\nhz = 1.0\n",
    )
    set_option(file, "web.enabled", "yes")
    set_option(file, "roots", "/usr:/tmp")
    set_option(file, "WEB_DASHBOARD_HOST", "::1")
    set_option(file, "tasks.nice", "5")
    text = file.read_text()
    assert "# mine" in text
    assert "port = 8000 # as the guide says" in text
    assert tomllib.loads(text) == {
        "roots": ["/usr", "/tmp"],
        "web": {"port": 8000, "enabled": True, "host": "::1"},
        "tui": {"hz": 1.0},
        "tasks": {"nice": 5},
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_set_refuses_a_bad_value_and_leaves_the_file(file: Path) -> None:
    before = "[media]\nthumbnail_size = '640:-1'\n"
    write(file, before)
    for key, value in (("media.thumbnail_size", "x"), ("web.port", "-1"), ("nope", "1")):
        with pytest.raises(TaskdeckError):
            set_option(file, key, value)
    assert file.read_text() == before


def test_set_refuses_roots_that_no_daemon_would_start_with(file: Path) -> None:
    write(file, "roots = ['/tmp']\n")
    with pytest.raises(TaskdeckError) as caught:
        set_option(file, "roots", "/tmp:/nowhere at all")
    assert caught.value.code == "settings.invalid" and "/nowhere at all" in caught.value.message
    assert file.read_text() == "roots = ['/tmp']\n"


def test_set_refuses_what_toml_cannot_hold(file: Path) -> None:
    write(file, "tui.theme = 'mine'\n")
    with pytest.raises(TaskdeckError) as caught:
        set_option(file, "archive.temp_dir", "/tmp/\udcff")
    assert caught.value.code == "settings.invalid"
    assert file.read_text() == "tui.theme = 'mine'\n"


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_numbers_that_json_cannot_carry_to_a_job_are_refused(file: Path, value: str) -> None:
    with pytest.raises(TaskdeckError) as caught:
        load(write(file, f"tasks.stall_timeout = {value}\n"), environ={})
    assert caught.value.code == "settings.invalid" and "tasks.stall_timeout" in caught.value.message
    with pytest.raises(TaskdeckError):
        load(file.with_name("none"), environ={"TASKDECK_TASKS_FROZEN_MINUTES": value})


def test_numbers_that_the_system_cannot_hold_are_refused(file: Path) -> None:
    for variable, value in (("TASKDECK_TASKS_MEMORY_LIMIT", "100 EB"), ("TASKDECK_TASKS_LOG_LINES", "1" + "0" * 30)):
        with pytest.raises(TaskdeckError) as caught:
            load(file, environ={variable: value})
        assert caught.value.code == "settings.invalid" and variable in caught.value.message


def test_set_refuses_a_layout_it_would_break() -> None:
    with pytest.raises(TaskdeckError, match="by hand"):
        set_value("web = { port = 1 }\n", "web.port", 2)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives_as_a_toml_string(text: str) -> None:
    assert tomllib.loads(set_value("# c\n", "web.host", text)) == {"web": {"host": text}}


def test_the_sample_is_valid_in_both_forms(file: Path) -> None:
    assert load(write(file, sample()), environ={}).settings == load(Path("/nonexistent"), environ={}).settings
    live = "\n".join(line.removeprefix("# ") if " = " in line else line for line in sample().splitlines())
    found = load(write(file, live), environ={}).settings
    assert found.tui.keymap == {name: spec.keys for name, spec in KEYS.items()}
    without = msgspec.structs.replace(found, tui=msgspec.structs.replace(found.tui, keymap={}))
    assert without == load(Path("/nonexistent"), environ={}).settings


def test_keys_kept_in_a_table_of_their_own_are_changed_there() -> None:
    text = '[tui]\nhz = 1\n\n[tui.keymap] # mine\n# why\n"task.pause" = "f5"\n"list.up" = "a"\n\n[web]\nport = 1\n'
    edited = set_value(text, "tui.keymap", {"task.pause": "f6", "rows.down": "n"})
    assert edited == (
        '[tui]\nhz = 1\n\n[tui.keymap] # mine\n# why\n"task.pause" = "f6"\n"rows.down" = "n"\n\n[web]\nport = 1\n'
    )


def test_the_settings_pages_are_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == page()
    assert (ROOT / "docs" / "taskdeck.toml").read_text() == sample()


@pytest.mark.parametrize(
    ("settings", "exposed"),
    [
        (WebSettings(), False),
        (WebSettings(host="::1"), False),
        (WebSettings(host="127.8.0.1"), False),
        (WebSettings(host="localhost"), False),
        (WebSettings(host="0.0.0.0"), True),
        (WebSettings(host="::"), True),
        (WebSettings(host="files.example.org"), True),
        (WebSettings(host="0.0.0.0", tls_certificate="/etc/ssl/deck.pem"), False),
        (WebSettings(host="0.0.0.0", trusted_proxies=("10.0.0.0/8",)), False),
    ],
)
def test_a_dashboard_that_others_reach_without_tls_or_a_proxy_is_exposed(settings: WebSettings, exposed: bool) -> None:
    assert settings.exposed is exposed


def test_several_keys_of_a_binding_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    config = set_option(path, "tui.keymap", "task.pause=f5,p,task.cancel=f6")
    assert config.settings.tui.keymap == {"task.pause": "f5,p", "task.cancel": "f6"}
    with pytest.raises(TaskdeckError, match="NAME=VALUE"):
        set_option(path, "tui.keymap", "f5")
    with pytest.raises(TaskdeckError, match="write it in the settings file"):
        set_option(path, "telegram.users", "12=read")
