"""`taskdeck web`: sign a browser in, make and revoke tokens, see who came."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, Final

from engines.errors import Exit, TaskdeckError
from tui_app.cli.context import Context
from tui_app.cli.output import err, is_fancy, out, out_json
from tui_app.client.launch import answers
from tui_app.client.local import LocalClient
from tui_app.qr import qr_rows

_ACTIONS: Final = {
    "link": "a link (and QR code) that signs one browser in, once, within five minutes",
    "url": "the address of the dashboard",
    "token": "make a token for a program; it is shown only now",
    "tokens": "list tokens",
    "sessions": "list signed-in browsers",
    "revoke": "revoke a token, or sign a browser out, by its id",
    "audit": "the newest entries of the access log",
}


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "actions:\n" + "\n".join(f"  {action:9} {text}" for action, text in _ACTIONS.items())
    parser.add_argument("action", choices=list(_ACTIONS), nargs="?", default="link", help="default: link")
    parser.add_argument("subject", nargs="?", metavar="NAME|ID", help="name of a new token; id of what is revoked")
    parser.add_argument(
        "--scope", choices=["read", "control", "admin"], help="what it may do (link: admin, token: control)"
    )
    parser.add_argument("--no-qr", action="store_true", help="print no QR code")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run it."""
    if not answers(context.locations):
        raise TaskdeckError(
            "daemon.absent", "cannot reach the web side", "no daemon runs", "run `taskdeck serve --web`"
        )
    client = LocalClient(context.locations)
    match arguments.action:
        case "link":
            _link(client, arguments)
        case "url":
            out(f"{_url(client)}/dashboard")
        case "token":
            body = {"name": arguments.subject or "command line", "scope": arguments.scope or "control"}
            made = client.post("/api/v1/tokens", dict[str, Any], body)
            out_json(made) if arguments.json else out(made["token"])
        case "revoke":
            _revoke(client, arguments.subject)
        case _:
            _listing(client, arguments)
    return Exit.OK


def _url(client: LocalClient) -> str:
    url = client.get("/api/v1/hello", dict[str, Any]).get("url", "")
    if not url:
        raise TaskdeckError(
            "usage",
            "cannot tell the address",
            "the dashboard is off",
            "run `taskdeck config set web.enabled true`, or `taskdeck serve --web`",
        )
    return str(url)


def _link(client: LocalClient, arguments: argparse.Namespace) -> None:
    _url(client)
    link = client.post("/api/v1/login_links", dict[str, Any], {"scope": arguments.scope or "admin"})
    if arguments.json:
        out_json(link)
        return
    if not arguments.no_qr and is_fancy(sys.stdout):
        out(qr_code(link["url"]))
    out(link["url"])
    err("It signs one browser in, once, within five minutes. Keep it to yourself.")


def qr_code(text: str) -> str:
    """The text as a QR code, white on black said in full: it must not depend on the terminal's colours."""
    return "\n".join(f"\x1b[97;40m{row}\x1b[0m" for row in qr_rows(text))


def _revoke(client: LocalClient, subject: str | None) -> None:
    if not subject or not subject.isalnum():
        raise TaskdeckError("usage", "cannot revoke", "an id is needed", "see `taskdeck web tokens` and `sessions`")
    try:
        client.request("DELETE", f"/api/v1/tokens/{subject}")
    except TaskdeckError as error:
        if error.code != "access.missing":
            raise
        client.request("DELETE", f"/api/v1/sessions/{subject}")
    err("taskdeck: done; it is worthless from now on")


def _listing(client: LocalClient, arguments: argparse.Namespace) -> None:
    found = client.get(f"/api/v1/{arguments.action}", list[dict[str, Any]])
    if arguments.json:
        out_json(found)
        return
    for item in found:
        if arguments.action == "audit":
            out(f"{_when(item['at'])}  {item['event']}  {item['actor']}  {item['address']}  {item['detail']}")
        elif arguments.action == "tokens":
            seen = _when(item["seen"]) if item["seen"] else "never"
            out(f"{item['id']}  {item['scope']:7}  used {seen}  {item['name']}")
        else:
            out(f"{item['id']}  {item['scope']:7}  seen {_when(item['seen'])}  {item['address']}  {item['agent']}")


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
