"""The table of operations is sound, and operations survive every way they are carried."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from engines import operations
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import OPERATIONS, Accepts, OperationSpec, Unzip, Zip, fields
from engines.paths import PathPolicy
from engines.settings import Settings


@pytest.mark.parametrize("spec", OPERATIONS.values(), ids=list(OPERATIONS))
def test_row_is_complete(spec: OperationSpec) -> None:
    assert spec.summary.endswith(".")
    assert spec.hosted or ":" in spec.run
    for field in fields(spec.struct):
        assert field.help.endswith((".", ")")), f"{spec.name}.{field.name} lacks help"
        assert not (field.secret and field.required), "a secret must be leavable out: it can be asked for"
    required = [field.required for field in fields(spec.struct) if field.positional]
    assert required == sorted(required, reverse=True), "required positionals come first"
    for example in spec.examples:
        assert shlex.split(example)[0] == spec.name


@pytest.mark.parametrize("spec", OPERATIONS.values(), ids=list(OPERATIONS))
def test_functions_of_the_row_exist(spec: OperationSpec) -> None:
    for reference in filter(None, (spec.run if not spec.hosted else "", spec.reply, spec.check)):
        assert callable(operations.load(reference)), reference


@pytest.mark.parametrize("spec", OPERATIONS.values(), ids=list(OPERATIONS))
def test_output_is_declared_by_what_makes_a_file_and_is_a_field_of_its_result(spec: OperationSpec) -> None:
    if spec.output and not spec.hosted:
        result = get_type_hints(operations.load(spec.run))["return"]
        one = get_args(result) or (result,)  # a folder's result has a file's beside it
        assert any(spec.output in kind.__struct_fields__ for kind in one)
    makes_one_file = {"output", "destination"} & {field.name for field in fields(spec.struct)}
    assert spec.output or not makes_one_file or spec.name in ("tracks", "split"), "those write several files"


def test_only_long_work_is_worth_a_warning_that_it_starts_over() -> None:
    long = {name for name, spec in OPERATIONS.items() if spec.takes_long}
    assert long == {"zip", "convert", "unzip", "transcode"}


def test_output_is_the_exact_path_and_nothing_where_nothing_was_made() -> None:
    assert operations.output_of("unzip", {"archive": "a.zip", "location": "/r/a"}) == "/r/a"
    assert operations.output_of("zip", {"path": "file:///r/%FF.zip"}) == "/r/\udcff.zip"
    assert operations.output_of("zip", {"path": "", "written": False}) is None
    assert operations.output_of("zipinfo", {"archive": "/r/a.zip"}) is None
    assert operations.output_of("gone", {"path": "/r/a"}) is None, "an operation of another version"


def test_unknown_operation_and_bad_parameters_are_told_by_name() -> None:
    for data, code, words in (
        ({"op": "zap\x1b"}, "usage", "no such operation"),
        ({}, "usage", "no such operation"),
        ({"op": "zip"}, "value", "path"),
        (
            {"op": "zip", "path": "x", "level": 10},
            "value",
            "cannot use '10' as level: it must be a whole number from 0 to",
        ),
        ({"op": "zip", "path": "x", "format": "rar"}, "value", "cannot use 'rar' as format: known are zip, tar, "),
        ({"op": "zip", "path": "x", "speed": 1}, "value", "speed"),
        ({"op": "zip", "path": 5}, "value", "parameter path"),
    ):
        with pytest.raises(TaskdeckError) as caught:
            operations.parse(data)
        assert caught.value.code == code and words in caught.value.message, caught.value.message


def test_settings_fill_what_is_left_open() -> None:
    op = operations.with_defaults(Zip(path="x"), Settings())
    assert isinstance(op, Zip) and op.format == "zip" and op.level == 6


def test_secrets_are_split_off_and_never_shown() -> None:
    bare, secrets = operations.split_secrets(Unzip(path="/a.zip", password="geheim"))
    assert secrets == {"password": "geheim"}
    assert isinstance(bare, Unzip) and bare.password is None
    assert "geheim" not in repr(operations.to_json(bare))
    assert "geheim" not in operations.as_command(Unzip(path="/a.zip", password="geheim"))


def test_paths_become_absolute_and_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    policy = PathPolicy.of((str(tmp_path),))
    op = operations.absolute(Zip(path="in", output="out.zip"), policy, base=str(tmp_path))
    assert isinstance(op, Zip) and (op.path, op.output) == (f"{tmp_path}/in", f"{tmp_path}/out.zip")
    with pytest.raises(TaskdeckError) as caught:
        operations.absolute(Zip(path="in", output="/etc/out.zip"), policy, base=str(tmp_path))
    assert caught.value.code == "path.outside_roots"


@pytest.mark.parametrize("path", ["/a b", "/a'b", "/a\nb", "-x", "/\udce9", "/ü", "file:///x%20y"])
def test_operation_survives_json_with_any_path(path: str) -> None:
    op = operations.parse({"op": "zip", "path": path})
    carried = msgspec.json.encode(operations.to_json(op))
    assert operations.parse(msgspec.json.decode(carried)) == op


@pytest.mark.parametrize(
    ("op", "command"),
    [
        (Zip(path="/a b"), "taskdeck zip '/a b'"),
        (Zip(path="-x"), "taskdeck zip -- -x"),
        (Unzip(path="/a.zip", destination="/to"), "taskdeck unzip /a.zip /to"),
    ],
)
def test_command_can_be_pasted_into_a_shell(op: operations.Operation, command: str) -> None:
    assert operations.as_command(op) == command
    assert shlex.split(command)[0] == "taskdeck"


def test_title_is_the_last_component_and_safe() -> None:
    assert operations.title(Zip(path="/a/b c/")) == "b c"
    assert "\x1b" not in operations.title(Zip(path="/a/\x1b[2J"))


def test_ranges_reach_the_forms_however_they_are_written() -> None:
    level = next(field for field in fields(Zip) if field.name == "level")
    assert (level.type, level.ge, level.le) == (int, 0, 9)
    shots = next(field for field in fields(OPERATIONS["thumbnail"].struct) if field.name == "shots")
    assert shots.type is int and shots.ge == 1 and shots.help


def test_secret_fields_are_marked_for_every_reader() -> None:
    secret = [f for f in fields(Unzip) if f.secret]
    assert [f.accepts for f in secret] == [Accepts.SECRET]
    schema = msgspec.json.schema(Unzip)
    assert schema["$defs"]["Unzip"]["properties"]["password"]["writeOnly"] is True


@pytest.mark.parametrize("name", [b"new\nline", b"\x1b[31mred", b"bad\xff\xfe", "\u202ertl é".encode(), b"it's \\ \n"])
def test_a_command_with_a_name_that_cannot_be_shown_still_names_the_file(name: bytes) -> None:
    command = operations.as_command(Zip(path="/" + os.fsdecode(name)))
    assert command == display(command), "nothing of it is lost on a face"
    shell = ["bash", "-c", f'taskdeck() {{ printf %s "$2"; }}; {command}']
    assert subprocess.run(shell, capture_output=True, check=True, timeout=30).stdout == b"/" + name
