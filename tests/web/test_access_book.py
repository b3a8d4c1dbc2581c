"""Codes and sessions end when their time is over, by the clock; and a swapped folder is noticed after opening it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.paths import PathPolicy
from tests.support.fake_tasks import ManualClock
from tui_app.web.access import CODE_SECONDS, AccessBook, Scope
from tui_app.web.audit import Audit
from tui_app.web.files import listing

DAY = 86_400.0


def sign_in(book: AccessBook, text: str) -> str | None:
    """The cookie of a browser that signs in for a day."""
    opened = book.sign_in(text, seconds=DAY, address="192.0.2.1", agent="a browser")
    return opened[0] if opened else None


def test_a_login_code_is_good_for_five_minutes(tmp_path: Path) -> None:
    clock = ManualClock()
    book = AccessBook(tmp_path / "access.json", now=clock)
    in_time, late = book.make_code("ada")[0], book.make_code("ada")[0]
    clock.now += CODE_SECONDS - 1
    assert sign_in(book, in_time) is not None
    clock.now += 1
    assert sign_in(book, late) is None


def test_a_session_ends_with_its_time_and_its_connections_are_cut(tmp_path: Path) -> None:
    clock = ManualClock()
    book = AccessBook(tmp_path / "access.json", now=clock)
    cut: list[str] = []
    book.ended.append(cut.append)
    cookie = sign_in(book, book.make_code("ada")[0])
    assert cookie is not None
    clock.now += DAY - 1
    session = book.session(cookie)
    assert session is not None
    clock.now += 1
    assert book.session(cookie) is None
    assert cut == [session.id]
    clock.now -= 2  # it is gone for good, not only hidden
    assert book.session(cookie) is None


def test_what_was_revoked_stays_so_after_a_restart(tmp_path: Path) -> None:
    book = AccessBook(tmp_path / "access.json")
    kept, _ = book.make_token("kept", Scope.READ)
    gone, token = book.make_token("gone", Scope.ADMIN)
    cookie = sign_in(book, gone)
    assert cookie is not None
    book.revoke_token(token.id)
    again = AccessBook(tmp_path / "access.json")
    assert again.token(kept) is not None
    assert again.token(gone) is None
    assert again.session(cookie) is None


def test_a_full_disk_keeps_nobody_out_and_forgets_no_revocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    path = tmp_path / "access.json"
    book = AccessBook(path, now=clock)
    cut: list[str] = []
    book.ended.append(cut.append)
    kept, gone = book.make_token("kept", Scope.READ)[0], book.make_token("gone", Scope.READ)
    for name in ("later", "now"):
        sign_in(book, book.make_code(name)[0])
    full = TaskdeckError("disk.full", "cannot write", "there is no space left")
    with monkeypatch.context() as patched:
        patched.setattr("tui_app.web.access.write_private", lambda *_: (_ for _ in ()).throw(full))
        clock.now += 120
        assert book.token(kept) is not None  # "last seen" is due
        with pytest.raises(TaskdeckError):
            book.revoke_token(gone[1].id)
        assert cut == [gone[1].id]
        clock.now += DAY
        book.sweep()
        assert len(cut) == 3
    clock.now += 120
    book.sweep()
    assert AccessBook(path).token(gone[0]) is None
    assert AccessBook(path).token(kept) is not None


def test_a_flood_of_refusals_does_not_turn_the_access_log_over(tmp_path: Path) -> None:
    clock = ManualClock()
    audit = Audit(tmp_path / "access.log", now=clock)
    audit.write("login", actor="ada")
    for _ in range(500):
        audit.refused("token_refused", address="192.0.2.9")
    found = audit.tail(1000)
    assert len(found) < 100
    assert found[-1].event == "login"
    clock.now += 60
    audit.refused("token_refused", address="192.0.2.9")
    told = next(entry for entry in audit.tail(10) if entry.event == "refusals_not_recorded")
    assert told.detail == f"{500 - len(found) + 1} more in one minute"


def test_a_folder_swapped_between_check_and_opening_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = PathPolicy.of((str(tmp_path),))
    # What a link put there in that moment comes to: the checked path leads out once it is opened.
    monkeypatch.setattr(PathPolicy, "target", lambda *_, **__: Path("/etc"))
    with pytest.raises(TaskdeckError) as refused:
        listing(policy, str(tmp_path), "/")
    assert refused.value.code == "path.outside_roots"
