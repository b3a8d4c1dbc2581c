"""Proof that every security rule has a test that fails when the rule is removed.

    python -m tests.web.removals [WORDS]

Each line of the table takes one rule out of the program, in memory and in a process of its own, and names the tests
that have to fail then. No file is changed.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

PACKAGE = Path(__file__).parents[2]
ROOM = "tests/web"
AT_ONCE = 4
"""Some of the tests wait for what does not come: several at a time."""


@dataclass(frozen=True)
class Removal:
    """A rule, the text that is the rule, what stands there without it, and the tests that notice.

    `more` holds further pairs of texts: a rule that two locks keep is gone when both are.
    """

    rule: str
    module: str
    text: str
    without: str
    tests: tuple[str, ...]
    more: tuple[tuple[str, str], ...] = ()
    nth: int | None = None
    """Which of several places with this text; None: there is only one."""

    @property
    def path(self) -> Path:
        return PACKAGE / (self.module.replace(".", "/") + ".py")

    def applied(self, source: str) -> str:
        """The module without the rule.

        Raises:
            ValueError: The text is not there, or more than once: the table is out of date.
        """
        for text, without in ((self.text, self.without), *self.more):
            places = [found.start() for found in re.finditer(re.escape(text), source)]
            if len(places) <= (self.nth or 0) or (self.nth is None and len(places) != 1):
                raise ValueError(f"{self.rule}: {len(places)} places in {self.path.name} with {text!r}")
            at = places[self.nth or 0]
            source = source[:at] + without + source[at + len(text) :]
        return source


RULES, SCOPES, ABUSE, BOOK, FILES, GUARD, ROUTES, LIVE, HUB = (
    f"{ROOM}/test_{name}.py::test_"
    for name in ("access_rules", "access_scopes", "access_abuse", "access_book", "access_transfer", "api_guard",
                 "api_routes", "api_live", "access_hub")
)  # fmt: skip
_W = "tui_app.web."
_HEADER = (f"{RULES}every_answer_carries_the_rules_for_browsers", f"{SCOPES}the_content_policy_is_the_strict_one")

REMOVALS: tuple[Removal, ...] = (
    # -- who comes in
    Removal("login", _W + "guard", "if rule.public:", "if True:", (
        f"{RULES}nothing_with_data_answers_without_a_login", f"{SCOPES}every_route_with_data_asks_for_a_login")),
    Removal("login at addresses without a rule", _W + "guard", "Rule(Scope.READ, False)", "Rule(Scope.READ, True)", (
        f"{RULES}nothing_with_data_answers_without_a_login",)),
    Removal("WWW-Authenticate", _W + "problem", 'if error.code == "access.login" else None', "if False else None", (
        f"{RULES}nothing_with_data_answers_without_a_login",)),
    Removal("a wrong token is final", _W + "guard",
            'raise TaskdeckError("access.login", "cannot use this token", "it is unknown or was revoked")',
            "return None", (f"{RULES}a_wrong_token_is_not_saved_by_a_right_cookie",)),
    Removal("secrets are compared", _W + "access",
            'if not hmac.compare_digest(given, found.hash if found is not None else digest("")) or found is None:',
            "if found is None:", (f"{RULES}a_known_id_with_a_wrong_secret_opens_nothing",)),
    Removal("other users of this machine", _W + "guard", "if uid not in (os.geteuid(), 0):", "if False:", (
        f"{GUARD}another_user_is_refused_on_the_unix_socket",)),
    Removal("codes work once", _W + "access", "self._codes.pop(digest(text), None)", "self._codes.get(digest(text))", (
        f"{RULES}a_login_code_works_once",)),
    Removal("codes expire", _W + "access", "code is not None and code[0] > self._now()", "code is not None", (
        f"{BOOK}a_login_code_is_good_for_five_minutes",)),
    Removal("codes behind the hash", _W + "signin", "/login#code=", "/login?code=", (
        f"{SCOPES}a_login_link_holds_its_code_behind_the_hash",)),
    Removal("sessions expire", _W + "access", "if found is not None and found.expires <= self._now():", "if False:", (
        f"{BOOK}a_session_ends_with_its_time_and_its_connections_are_cut",)),
    Removal("only hashes are stored", _W + "access",
            'return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()', "return secret", (
                f"{RULES}only_hashes_are_stored",)),
    Removal("the access file is private", "tui_app.locations", "os.O_TRUNC | os.O_NOFOLLOW, 0o600)",
            "os.O_TRUNC | os.O_NOFOLLOW, 0o644)", (f"{RULES}only_hashes_are_stored",)),
    Removal("tokens are told once", _W + "signin",
            "return json_response([_token_info(item) for item in request.app[DECK].access.tokens])",
            "return json_response(request.app[DECK].access.tokens)", (
                f"{RULES}tokens_are_listed_without_their_secret",)),
    # -- cookies
    Removal("HttpOnly", _W + "signin", "httponly=True", "httponly=False", (
        f"{RULES}the_session_cookie_is_out_of_reach_of_scripts_and_other_sites",)),
    Removal("SameSite=Strict", _W + "signin", 'samesite="Strict"', 'samesite="Lax"', (
        f"{RULES}the_session_cookie_is_out_of_reach_of_scripts_and_other_sites",)),
    Removal("Secure on TLS", _W + "signin", "secure=peer.secure,\n    )\n    return response",
            "secure=False,\n    )\n    return response", (
                f"{RULES}tls_serves_and_marks_its_cookies", f"{RULES}a_trusted_proxy_tells_address_scheme_and_host")),
    Removal("__Host- prefix", _W + "guard", "{'__Host-' if bound else ''}", "", (
        f"{RULES}tls_serves_and_marks_its_cookies",)),
    # -- attempts
    Removal("attempts of an address", _W + "limits", "self._left(own, ATTEMPTS) if own else 0.0", "0.0", (
        f"{RULES}five_wrong_codes_have_to_wait",)),
    Removal("attempts of all", _W + "limits", "self._left(self._all, ATTEMPTS_OF_ALL)]", "0.0]", (
        f"{ABUSE}guessers_with_many_addresses_have_to_wait_together",)),
    Removal("attempts of an IPv6 network", _W + "peer", "return group_of(self.address)", "return self.address", (
        f"{ABUSE}a_site_with_a_whole_ipv6_network_has_no_more_attempts",)),
    # -- revoking
    Removal("revoking a token ends its sessions", _W + "access",
            "gone = [item.id for item in self._sessions.values() if item.token == identity]", "gone: list[str] = []", (
                f"{RULES}a_revoked_token_and_its_sessions_end_at_once",)),
    Removal("revoking a token cuts", _W + "access", "self._tell([identity, *gone])", "pass", (
        f"{RULES}a_revoked_token_and_its_sessions_end_at_once",)),
    Removal("ending a session cuts", _W + "access", "self._tell([identity])\n", "pass\n", (
        f"{ABUSE}ending_a_session_cuts_its_live_connections",)),
    Removal("a session whose time is over is cut", _W + "access", "self._tell(gone)", "pass", (
        f"{BOOK}a_session_ends_with_its_time_and_its_connections_are_cut",)),
    Removal("cutting closes connections", _W + "context", "self.access.ended.append(self.flights.cut)", "pass", (
        f"{RULES}a_revoked_token_and_its_sessions_end_at_once",)),
    Removal("connections are known by credential", _W + "guard",
            "deck.flights.note(found.credential.id, request.transport)", "pass", (
                f"{ABUSE}ending_a_session_cuts_its_live_connections",)),
    Removal("signing out ends the session", _W + "signin",
            "        deck.access.end_session(found.credential.id)", "        pass", (
                f"{RULES}signing_out_ends_the_session",)),
    # -- scopes
    Removal("scopes", _W + "guard", "if not credential.scope.covers(rule.scope):", "if False:", (
        f"{RULES}a_scope_allows_no_more_than_it_says", f"{SCOPES}every_route_asks_for_its_scope")),
    Removal("changes need control", _W + "api", 'Scope.READ if self.method == "GET" else Scope.CONTROL', "Scope.READ", (
        f"{RULES}a_scope_allows_no_more_than_it_says", f"{SCOPES}every_route_asks_for_its_scope")),
    Removal("a session has the scope of its token", _W + "access", "name, scope = token.name, token.scope",
            "name, scope = token.name, Scope.ADMIN", (f"{RULES}a_session_has_the_scope_of_its_token",)),
    Removal("no stop from afar", _W + "api", "if not caller(request).local:", "if False:", (
        f"{SCOPES}even_an_administrator_cannot_stop_the_daemon_from_afar",
        f"{GUARD}the_daemon_cannot_be_stopped_from_afar"), nth=0),
    Removal("no reload from afar", _W + "api", "if not caller(request).local:", "if False:", (
        f"{SCOPES}even_an_administrator_cannot_stop_the_daemon_from_afar",
        f"{GUARD}the_daemon_cannot_be_stopped_from_afar"), nth=1),
    # -- other sites
    Removal("Host", _W + "guard", "    _check_host(peer, deck.settings.web)", "    pass", (
        f"{RULES}unknown_host_names_are_refused", f"{RULES}the_websocket_obeys_the_same_rules",
        f"{GUARD}names_that_are_not_ours_are_refused")),
    Removal("Origin", _W + "guard", "    _check_origin(request, peer, deck.settings.web)", "    pass", (
        f"{RULES}other_sites_cannot_use_a_session", f"{RULES}the_websocket_obeys_the_same_rules",
        f"{RULES}signing_in_needs_our_own_page", f"{GUARD}pages_of_other_sites_cannot_act")),
    Removal("Origin of a WebSocket", _W + "guard", "if request.method in _SAFE and not websocket and origin is None:",
            "if request.method in _SAFE:", (f"{RULES}the_websocket_obeys_the_same_rules",)),
    Removal("Origin when reading", _W + "guard", "if request.method in _SAFE and not websocket and origin is None:",
            "if request.method in _SAFE and not websocket:", (
                f"{SCOPES}a_foreign_origin_is_refused_for_reading_too",)),
    Removal("Sec-Fetch-Site of a WebSocket", _W + "guard", "and not websocket and origin is None:",
            "and origin is None:", (f"{SCOPES}a_websocket_without_an_origin_must_not_come_from_another_site",)),
    Removal("Sec-Fetch-Site", _W + "guard",
            'request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")', "True", (
                f"{RULES}other_sites_cannot_use_a_session",)),
    Removal("Origin has a scheme of ours", _W + "guard", 'own = scheme in ("http", "https") and', "own =", (
        f"{SCOPES}a_foreign_origin_is_refused_for_reading_too",)),
    Removal("bodies are JSON", _W + "bodies", 'if request.content_type != "application/json":', "if False:", (
        f"{RULES}a_form_of_another_site_is_not_json", f"{ROUTES}a_body_that_is_not_json_is_refused_by_its_type")),
    # -- what browsers may do
    *(Removal(f"CSP {part}", _W + "guard", part, "", _HEADER[1:]) for part in (
        "default-src 'none'; ", "base-uri 'none'; ", "form-action 'self'; ", "frame-ancestors 'none'; ",
        "require-trusted-types-for 'script'; ", "; trusted-types taskdeck")),
    Removal("CSP without inline scripts", _W + "guard", "script-src 'self'", "script-src 'self' 'unsafe-inline'",
            _HEADER),
    Removal("CSP and Trusted Types in the browser", _W + "guard", '"Content-Security-Policy": CSP,', "", (
        f"{ROOM}/test_page_tasks.py::test_no_script_comes_in_through_the_page",)),
    *(Removal(header, _W + "guard", f'"{header}": "{value}",', "", _HEADER[:1]) for header, value in (
        ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"))),
    Removal("Permissions-Policy", _W + "guard",
            '"Permissions-Policy": "camera=(), microphone=(), geolocation=()",', "", _HEADER[1:]),
    Removal("Cross-Origin-Opener-Policy", _W + "guard", 'headers[_COOP] = "same-origin"', "pass", _HEADER[:1]),
    Removal("answers with data are not kept", _W + "guard", 'headers.setdefault(hdrs.CACHE_CONTROL, "no-store")',
            "pass", _HEADER[:1]),
    Removal("HSTS", _W + "guard",
            'headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, "max-age=31536000")', "pass", (
                f"{RULES}tls_serves_and_marks_its_cookies",)),
    Removal("no version for strangers", _W + "guard",
            "if found is not None and (found.local or found.credential is not None):", "if found is not None:", (
                f"{SCOPES}strangers_do_not_learn_the_version",)),
    Removal("faults are not shown", _W + "problem",
            'TaskdeckError("internal", "cannot answer", "Taskdeck met a fault", "see its log")',
            'TaskdeckError("internal", "cannot answer", str(error), "see its log")', (
                f"{SCOPES}a_fault_of_ours_is_not_shown",)),
    # -- proxies and TLS
    Removal("forwarded headers of strangers", _W + "peer", "if not networks or not _trusted(direct, networks):",
            "if False:", (f"{RULES}forwarded_headers_of_strangers_count_for_nothing",)),
    Removal("the rightmost address that is no proxy", _W + "peer", "if not _trusted(claimed, networks):\n",
            "if False:\n", (f"{RULES}a_trusted_proxy_tells_address_scheme_and_host",)),
    Removal("all lines of forwarded addresses", _W + "peer", '",".join(request.headers.getall("X-Forwarded-For", ()))',
            'request.headers.get("X-Forwarded-For", "")', (
                f"{RULES}what_a_client_claims_in_a_line_of_its_own_counts_for_nothing",)),
    # Python and OpenSSL refuse old versions by themselves today: here all three are told not to.
    Removal("TLS 1.2 at the least", _W + "server", "context.minimum_version = ssl.TLSVersion.TLSv1_2",
            'context.minimum_version = ssl.TLSVersion.TLSv1; context.set_ciphers("ALL:@SECLEVEL=0")', (
                f"{RULES}tls_serves_and_marks_its_cookies",)),
    Removal("slow TLS handshakes", _W + "server", "ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None",
            "ssl_handshake_timeout=None", (f"{ABUSE}a_tls_handshake_that_never_ends_is_cut",)),
    # -- limits
    Removal("size of bodies", _W + "server", "client_max_size=MAX_BODY", "client_max_size=1 << 40", (
        f"{RULES}a_body_over_the_limit_is_refused",)),
    Removal("size of messages", _W + "live", "max_msg_size=MAX_MESSAGE", "max_msg_size=1 << 30", (
        f"{RULES}a_websocket_message_over_the_limit_closes_the_line",)),
    Removal("slow bodies", _W + "bodies", "asyncio.timeout(BODY_SECONDS)", "asyncio.timeout(None)", (
        f"{RULES}a_dripping_body_is_cut",)),
    Removal("slow headers", _W + "server", "keepalive_timeout=deck.idle_after", "keepalive_timeout=3600", (
        f"{RULES}a_dripping_header_is_cut",)),
    Removal("stalled uploads", _W + "transfer", "asyncio.timeout(STALL_SECONDS)", "asyncio.timeout(None)", (
        f"{ABUSE}an_upload_that_stands_still_is_cut_and_leaves_nothing",)),
    Removal("unread answers", _W + "limits", "transport.abort()\n                cut += 1", "cut += 1", (
        f"{RULES}who_does_not_read_the_answer_is_cut",)),
    Removal("unread live connections", _W + "hub", "elif now - self.since > self._hub.stuck_after:", "elif False:", (
        f"{HUB}a_connection_that_stands_still_is_cut",)),
    Removal("connections in all", _W + "door",
            "            if self._total() >= settings.max_connections:\n                return None", "", (
                f"{RULES}no_more_connections_than_allowed",
                f"{GUARD}connections_beyond_the_limit_are_refused_and_the_socket_still_answers")),
    Removal("connections of one address", _W + "door", "if group and self._held(group) >= most_each(settings):",
            "if False:", (f"{RULES}one_address_cannot_take_all_connections",)),
    Removal("lists asked for without reading", _W + "guide_feed", "if client.wants_list and not client.busy:",
            "if client.wants_list:", (f"{HUB}a_list_asked_for_often_is_not_piled_up",)),
    Removal("watches of a connection", _W + "live", "elif len(self._lines) >= MAX_WATCHES:", "elif False:", (
        f"{ABUSE}a_connection_may_hold_so_many_watches_of_such_a_size",)),
    Removal("size of a window", _W + "live", "if query.limit > MAX_WINDOW or", "if", (
        f"{ABUSE}a_connection_may_hold_so_many_watches_of_such_a_size",)),
    Removal("number of sessions", _W + "access", "while len(self._sessions) >= SESSION_LIMIT:", "while False:", (
        f"{ABUSE}sessions_tokens_and_codes_are_not_kept_without_end",)),
    Removal("number of tokens", _W + "access", "if len(self._tokens) >= TOKEN_LIMIT:", "if False:", (
        f"{ABUSE}sessions_tokens_and_codes_are_not_kept_without_end",)),
    Removal("number of codes", _W + "access", "while len(self._codes) >= _CODE_LIMIT:", "while False:", (
        f"{ABUSE}sessions_tokens_and_codes_are_not_kept_without_end",)),
    Removal("told that we go", _W + "server", "app.on_shutdown.append(close_all)", "pass", (
        f"{RULES}everybody_is_told_when_the_daemon_goes",)),
    # -- files
    Removal("size of an upload, announced", _W + "transfer", "if limit and expected > limit:", "if False:", (
        f"{ABUSE}a_file_that_says_it_is_too_large_is_refused_before_it_is_sent",)),
    Removal("size of an upload, as it comes", _W + "transfer", "if limit and written > limit:", "if False:", (
        f"{FILES}a_file_over_the_limit_leaves_nothing",)),
    Removal("room on the disk, as it comes", _W + "transfer",
            'files.require_space(folder, floor, what="receive the file")', "pass", (
                f"{FILES}a_file_of_unknown_length_does_not_fill_the_disk",)),
    Removal("names of uploads", _W + "transfer", "name = safe_component(given)", "name = given", (
        f"{FILES}a_name_cannot_leave_the_folder",)),
    Removal("uploads are private", _W + "transfer", "os.O_CLOEXEC, 0o600)", "os.O_CLOEXEC, 0o644)", (
        f"{FILES}a_sent_file_lies_below_the_root_and_replaces_nothing",)),
    Removal("broken uploads are removed", _W + "transfer", "staged.unlink(missing_ok=True)", "pass", (
        f"{FILES}a_broken_upload_leaves_nothing", f"{FILES}a_file_over_the_limit_leaves_nothing")),
    Removal("type of a result", _W + "transfer", 'shown or "application/octet-stream"', 'shown or "text/html"', (
        f"{FILES}a_picture_is_shown_and_a_web_page_never",)),
    Removal("pictures that are programs", _W + "transfer", '= {".jpg"', '= {".svg": "image/svg+xml", ".jpg"', (
        f"{FILES}a_picture_is_shown_and_a_web_page_never",)),
    Removal("disposition of a result", _W + "transfer", '"inline" if shown else "attachment"', '"inline"', (
        f"{FILES}a_picture_is_shown_and_a_web_page_never",)),
    Removal("results inside the roots", _W + "transfer", "deck.policy.source(made)", "Path(made)", (
        f"{FILES}a_result_outside_the_roots_is_not_given",), more=(("not deck.policy.allows(real) or ", ""),)),
    Removal("results inside the roots once opened", _W + "transfer", "not deck.policy.allows(real) or ", "", (
        f"{ABUSE}a_result_swapped_between_check_and_opening_is_not_given",)),
    Removal("results that became pipes", _W + "transfer", " | os.O_NONBLOCK", "", (
        f"{ABUSE}a_result_that_became_a_pipe_holds_nobody_up",), more=(("deck.policy.source(made)", "Path(made)"),)),
    Removal("folders inside the roots", _W + "files", "policy.target(path, base=base)",
            "__import__('pathlib').Path(path)", (f"{ROUTES}files_lists_inside_the_roots_only",),
            more=(('if not policy.allows(os.readlink(f"/proc/self/fd/{descriptor}")):', "if False:"),)),
    Removal("folders inside the roots once opened", _W + "files",
            'if not policy.allows(os.readlink(f"/proc/self/fd/{descriptor}")):', "if False:", (
                f"{BOOK}a_folder_swapped_between_check_and_opening_is_not_listed",)),
    Removal("formulas in exports", _W + "export", "f\"'{cell}\" if", "cell if", (
        f"{ROUTES}csv_disarms_formulas", f"{SCOPES}an_exported_history_holds_no_formulas")),
    # -- the access log
    Removal("changes are recorded", _W + "guard", 'deck.audit.write("request",', "str((", (
        f"{RULES}the_access_log_tells_who_did_what",),
        more=(("actor=found.actor.name, address=found.address, detail=what)", "what))"),)),
    Removal("refusals are recorded", _W + "guard",
            'deck.audit.refused(error.code.replace("access.", "refused_"), address=peer.address, detail=detail)',
            "pass", (f"{RULES}the_access_log_tells_who_did_what",)),
    Removal("a flood does not turn the log over", _W + "audit", "if self._refusals <= _BURST:", "if True:", (
        f"{BOOK}a_flood_of_refusals_does_not_turn_the_access_log_over",)),
)  # fmt: skip


def scopes() -> Iterator[Removal]:
    """The scope of every route that names one."""
    api = _W + "api"
    for text, without in (('scope="admin"', 'scope="control"'), ('scope="control"', 'scope="read"')):
        path = PACKAGE / (api.replace(".", "/") + ".py")
        for number in range(path.read_text().count(text)):
            yield Removal(f"route {number + 1} with {text}", api, text, without,
                          (f"{SCOPES}every_route_asks_for_its_scope",), nth=number)  # fmt: skip


class _Finder(importlib.abc.MetaPathFinder):
    """Gives one module without its rule."""

    def __init__(self, removal: Removal) -> None:
        self._removal = removal

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._removal.module:
            return None
        origin = str(self._removal.path)
        return importlib.util.spec_from_file_location(fullname, origin, loader=_Loader(fullname, origin, self._removal))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, removal: Removal) -> None:
        super().__init__(fullname, path)
        self._removal = removal

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._removal.applied(self._removal.path.read_text()), self.path, "exec", dont_inherit=True)


class _Failures:
    """Notes which tests failed."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest."""
        if report.failed:
            self.names.add(report.nodeid.partition("[")[0])


def _alone(removal: Removal) -> int:
    """In a process of its own: 0 when each of the tests fails without the rule."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tui_app", "tests")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder(removal))
    from tests.support import station

    station.SECONDS = 15.0  # what does not come without its rule is waited for to the end
    failures = _Failures()
    with tempfile.TemporaryDirectory() as folder:
        words = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/t", *removal.tests]
        ended = pytest.main(words, plugins=[failures])
    loaded = sys.modules.get(removal.module)
    if ended != pytest.ExitCode.TESTS_FAILED or loaded is None or not isinstance(loaded.__loader__, _Loader):
        return 2
    return int(failures.names != set(removal.tests))


def _start(removal: Removal) -> int:
    child = os.fork()
    if child:
        return child
    status = 3
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        status = _alone(removal)
    finally:
        os._exit(status)


def main(words: Sequence[str]) -> int:
    """Print a line for every rule; 1 when one was not missed."""
    os.chdir(PACKAGE)
    sys.path.insert(0, str(PACKAGE))
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", ROOM])  # loads what is common, once for all
    waiting = [item for item in (*REMOVALS, *scopes()) if not words or any(word in item.rule for word in words)]
    count, missed = len(waiting), 0
    running: dict[int, Removal] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            removal = waiting.pop(0)
            running[_start(removal)] = removal
        child, status = os.wait()
        found = os.waitstatus_to_exitcode(status) == 0
        missed += found
        print("missed  " if found else "UNMISSED", running.pop(child).rule, flush=True)
    print(f"{missed} of {count} rules are missed by their tests when they are removed")
    return int(missed != count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
