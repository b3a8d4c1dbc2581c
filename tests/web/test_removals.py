"""The table of removed rules is true to the program; `make prove` runs all of it."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.web.removals import PACKAGE, REMOVALS, Removal, scopes


@pytest.mark.parametrize("removal", [*REMOVALS, *scopes()], ids=lambda removal: removal.rule)
def test_every_rule_of_the_table_is_in_the_program(removal: Removal) -> None:
    source = removal.path.read_text()
    without = removal.applied(source)
    assert without != source
    compile(without, removal.path.name, "exec")
    for test in removal.tests:
        file, _, name = test.partition("::")
        assert name in {
            node.name
            for node in ast.parse((PACKAGE / file).read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }


@pytest.mark.slow
def test_a_removed_rule_is_missed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.web.removals", "SameSite=Strict"],
        cwd=PACKAGE, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "missed   SameSite=Strict"), done.stderr
