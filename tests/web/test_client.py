"""The interface's client on the wire: kept connections, broken answers, TLS, live lines that die in every way.

The other end is the daemon's own server where that can show it, else a few lines that send what no daemon should.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Actor
from engines.query import Query
from engines.settings import WebSettings
from engines.tasks.api import Watch
from tests.support.fake_tasks import FakeTasks, make_view
from tests.support.station import SECONDS, Station
from tests.support.web_server import Site, site
from tui_app import wire
from tui_app.client import address, pool
from tui_app.client.address import Address
from tui_app.client.pool import Pool
from tui_app.client.remote import TaskClient
from tui_app.client.websocket import WebSocket
from tui_app.daemon import Daemon
from tui_app.web.access import Scope

ACTOR = Actor("somebody", "tui")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(path: Path, talk: Talk) -> AsyncIterator[Path]:
    """Whatever `talk` does with each connection, on a Unix socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    made = await asyncio.start_unix_server(serve, path / "s")
    try:
        yield path / "s"
    finally:
        made.close()


async def head_of(reader: asyncio.StreamReader) -> str:
    """The head of the next request; its body, if any, is read away."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    found = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    if found:
        await reader.readexactly(int(found[1]))
    return head


def pooled(path: Path) -> Pool:
    return Pool(Address(path=path), {"Taskdeck-Face": "tui"})


async def test_a_connection_is_used_for_many_requests(tmp_path: Path) -> None:
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        while True:
            await head_of(reader)
            connections[-1] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with server(tmp_path, talk) as path:
        requests = pooled(path)
        for _ in range(3):
            assert (await requests.request("GET", "/a")).body == b"{}"
        await asyncio.gather(*(requests.request("POST", "/a", body=b"{}") for _ in range(4)))
        await requests.close()
    assert sum(connections) == 7
    assert len(connections) == 4


async def test_answers_come_in_any_pieces(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        text += b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        for at in range(len(text)):
            writer.write(text[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nto the end")

    async with server(tmp_path, talk) as path:
        requests = pooled(path)
        assert (await requests.request("GET", "/a")).body == b"abcdefg"
        assert (await requests.request("GET", "/a")).body == b"to the end"
        await requests.close()


async def test_a_kept_connection_that_died_is_renewed_for_what_may_be_repeated(tmp_path: Path) -> None:
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        heads.append(await head_of(reader))  # read, then gone without an answer

    async with server(tmp_path, talk) as path:
        requests = pooled(path)
        await requests.request("GET", "/1")
        assert (await requests.request("GET", "/2", repeatable=True)).status == 200
        with pytest.raises(ConnectionError):
            await requests.request("POST", "/3", body=b"{}")
        await requests.close()
    assert [head.split()[1] for head in heads] == ["/1", "/2", "/2", "/3"]


async def test_a_task_is_submitted_once_though_the_connection_died(station: Station, daemon: Daemon) -> None:
    keys: list[str] = []
    real = station.locations.socket()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Between client and daemon; the first answer to a second request is lost on its way."""
        up_reader, up_writer = await asyncio.open_unix_connection(real)
        for number in (1, 2):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int((re.search(rb"Content-Length: (\d+)", head) or [b"", b"0"])[1])
            up_writer.write(head + await reader.readexactly(size))
            keys.extend(re.findall(r"Idempotency-Key: (\S+)", head.decode()))
            answer = await up_reader.readuntil(b"\r\n\r\n")
            length = int((re.search(rb"Content-Length: (\d+)", answer) or [b"", b"0"])[1])
            answer += await up_reader.readexactly(length)
            if number == 2 and len(keys) == 1:
                break
            writer.write(answer)
        up_writer.close()

    async with server(station.base / "run", talk) as path, TaskClient(socket=path) as client:
        await client.hello()
        op = {"op": "steps", "path": "x.bin", "count": 1, "pause": 0}
        view = await client.submit(op, actor=ACTOR, base=str(station.root))
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert [found.id for found in (await daemon.tasks.query(Query())).items] == [view.id]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "no HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "no HTTP"),
    ],
)
async def test_an_answer_that_is_none_is_told_as_an_absent_daemon(tmp_path: Path, answer: bytes, why: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(answer)

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        with pytest.raises(TaskdeckError, match=why) as told:
            await client.stats()
    assert told.value.code == "daemon.absent"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", "network"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "network"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "daemon.version"),
        (b"HTTP/1.1 200 OK\r\nTaskdeck-Protocol: 99\r\nContent-Length: 2\r\n\r\n{}", "daemon.version"),
    ],
)
async def test_answers_of_other_programs_and_versions_have_their_codes(
    tmp_path: Path, answer: bytes, code: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(answer)

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        with pytest.raises(TaskdeckError) as told:
            await client.stats()
    assert told.value.code == code


async def test_an_endless_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_BODY", 1 << 20)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        with pytest.raises(TaskdeckError, match="too large"):
            await client.stats()


async def test_a_daemon_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TOTAL_SECONDS", 0.05)
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        with pytest.raises(TaskdeckError, match="did not answer in time") as told:
            await client.stats()
        over.set()
    assert told.value.code == "daemon.absent"


async def test_a_cancelled_request_takes_its_connection_with_it(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        if "/slow" in head:
            begun.set()
            assert await reader.read() == b""
            ended.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with server(tmp_path, talk) as path:
        requests = pooled(path)
        slow = asyncio.create_task(requests.request("GET", "/slow"))
        async with asyncio.timeout(SECONDS):
            await begun.wait()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert (await requests.request("GET", "/quick")).body == b"{}"
        async with asyncio.timeout(SECONDS):
            await ended.wait()
        await requests.close()


async def test_no_socket_and_nobody_behind_it_are_told_alike(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path / "left"):
        if path.name == "left":
            (await asyncio.start_unix_server(lambda _r, _w: None, path)).close()
        async with TaskClient(socket=path) as client:
            with pytest.raises(TaskdeckError, match="taskdeck serve") as told:
                await client.hello()
        assert told.value.code == "daemon.absent"


async def test_a_socket_of_another_user_gets_nothing_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "peer_credentials", lambda _socket: (1, 4321, 4321))
    seen: list[bytes] = []
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())
        ended.set()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        with pytest.raises(TaskdeckError, match="the socket belongs to user id 4321"):
            await client.hello()
        async with asyncio.timeout(SECONDS):
            await ended.wait()
    assert seen == [b""]


@pytest.mark.parametrize(
    ("url", "host", "authority", "prefix"),
    [
        ("http://box:8000", "box", "box:8000", ""),
        ("http://box/", "box", "box", ""),
        ("http://[::1]:8000/deck/", "::1", "[::1]:8000", "/deck"),
        ("https://box", "box", "box", ""),
        ("https://bücher.example/a b", "xn--bcher-kva.example", "xn--bcher-kva.example", "/a%20b"),
    ],
)
def test_urls_are_understood(url: str, host: str, authority: str, prefix: str) -> None:
    found = Address.parse(url)
    assert (found.host, found.authority, found.prefix) == (host, authority, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "box:8000",
        "ftp://box",
        "http://",
        "http://box:port",
        "http://box:99999",
        "http://me:secret@box",
        "http://box/?a",
    ],
)
def test_what_is_no_address_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(TaskdeckError) as told:
        Address.parse(url)
    assert told.value.code == "usage"


def test_a_token_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(TaskdeckError) as told:
        TaskClient(url="http://box", token="a\r\nX: y")
    assert told.value.code == "access.login"


async def test_the_whole_client_works_from_afar_below_a_prefix(tmp_path: Path) -> None:
    tasks = FakeTasks([make_view("t1", title="one")])
    web = WebSettings(enabled=True, port=0, url_prefix="/deck")
    async with site(tasks, tmp_path, web=web) as served:
        url, token = f"{served.url}/deck", served.tokens[Scope.ADMIN]
        async with TaskClient(url=url, token=token, reconnect=False) as client:
            assert (await client.view("t1")).title == "one"
            watcher = await client.watch(Watch())
            async with asyncio.timeout(SECONDS):
                assert (await anext(aiter(watcher))).ids == ["t1"]


async def test_a_wrong_token_ends_a_watch_with_the_reason(tmp_path: Path) -> None:
    async with site(FakeTasks(), tmp_path) as served, TaskClient(url=served.url, token="wrong") as client:
        watcher = await client.watch(Watch())
        with pytest.raises(TaskdeckError) as told:
            async with asyncio.timeout(SECONDS):
                await anext(aiter(watcher))
    assert told.value.code == "access.login"


@contextlib.asynccontextmanager
async def tls_site(folder: Path) -> AsyncIterator[tuple[Site, Path]]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made += ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True, timeout=SECONDS)
    web = WebSettings(enabled=True, port=0, tls_certificate=str(certificate), tls_key=str(key))
    async with site(FakeTasks([make_view("t1", title="one")]), folder, web=web) as served:
        yield served, certificate


async def test_tls_is_spoken_to_a_trusted_certificate_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with tls_site(tmp_path) as (served, certificate):
        url, token = f"https://localhost:{served.port}", served.tokens[Scope.ADMIN]
        async with TaskClient(url=url, token=token) as stranger:
            with pytest.raises(TaskdeckError, match=r"certificate is not trusted \(self-signed"):
                await stranger.view("t1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with TaskClient(url=url, token=token, reconnect=False) as client:
            assert (await client.view("t1")).title == "one"
            watcher = await client.watch(Watch())
            async with asyncio.timeout(SECONDS):
                assert (await anext(aiter(watcher))).ids == ["t1"]
        context = ssl.create_default_context()
        async with TaskClient(url=f"https://127.0.0.1:{served.port}", token=token) as other_name:
            with pytest.raises(TaskdeckError, match="certificate is not trusted"):
                await other_name.view("t1")
        assert context.check_hostname


# -- the live line


def frame(kind: int, payload: bytes, *, final: bool = True) -> bytes:
    """A server's frame (RFC 6455, 5.2), up to 65,535 bytes."""
    head = bytes([(0x80 if final else 0) | kind])
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return head + size + payload


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes = b"") -> None:
    """The server's half of the handshake, with frames right behind it."""
    import base64
    import hashlib

    head = await head_of(reader)
    key = re.search(r"Sec-WebSocket-Key: (\S+)", head)
    assert key is not None
    digest = hashlib.sha1(key[1].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: taskdeck.v1\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + more
    )


async def opened(path: Path, **options: float) -> WebSocket:
    return await WebSocket.connect(Address(path=path), "/ws", {}, protocol=wire.SUBPROTOCOL, **options)


async def client_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of the client: opcode and payload."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "a client masks (RFC 6455, 5.3)"
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


async def test_messages_come_whole_and_in_order(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer, frame(1, b"first"))  # in the same packet as the handshake
        writer.write(frame(1, "sp\u00fc".encode()[:3], final=False) + frame(9, b"are you there") + frame(0, b"\xbclt"))
        writer.write(frame(2, b"no text") + frame(1, b"x" * 60_000))
        assert await client_frame(reader) == (1, b"hello")
        assert await client_frame(reader) == (10, b"are you there")
        writer.write(frame(8, (1001).to_bytes(2, "big") + b"bye"))
        assert (await client_frame(reader))[0] == 8

    async with server(tmp_path, talk) as path:
        line = await opened(path)
        await line.send("hello")
        async with asyncio.timeout(SECONDS):
            got = [text async for text in line.messages()]
        await line.close()
    assert got == ["first", "sp\u00fclt", "x" * 60_000]


async def test_a_silent_line_is_asked_and_then_given_up(tmp_path: Path) -> None:
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        for answer in (True, True, False):
            kind, payload = await client_frame(reader)
            asked.append(kind)
            if answer:
                writer.write(frame(10, payload))
        await reader.read()

    async with server(tmp_path, talk) as path:
        line = await opened(path, heartbeat=0.1)
        with pytest.raises(ConnectionError, match="does not answer"):
            async with asyncio.timeout(SECONDS):
                async for _ in line.messages():
                    pass
        line.abort()
    assert asked == [9, 9, 9]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "closed the connection"),
        (frame(1, b"half", final=False), "closed the connection"),
        (frame(1, b"\xff\xfe"), "broke the protocol"),
        (frame(3, b""), "broke the protocol"),
        (b"\xc1\x00", "broke the protocol"),
    ],
)
async def test_a_line_that_breaks_off_or_breaks_the_rules_is_lost(tmp_path: Path, sent: bytes, why: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer, sent)

    async with server(tmp_path, talk) as path:
        line = await opened(path)
        with pytest.raises(ConnectionError, match=why):
            async with asyncio.timeout(SECONDS):
                async for _ in line.messages():
                    pass
        line.abort()


async def test_a_message_without_end_is_refused(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer, frame(1, b"x", final=False))
        while True:
            writer.write(frame(0, b"x" * 60_000, final=False))
            await writer.drain()

    async with server(tmp_path, talk) as path:
        line = WebSocket(await Address(path=path).connect(), limit=1 << 20)
        await line._shake_hands(Address(path=path), "/ws", {}, wire.SUBPROTOCOL)
        with pytest.raises(ConnectionError, match="too large"):
            async with asyncio.timeout(SECONDS):
                async for _ in line.messages():
                    pass
        line.abort()


async def test_a_message_nobody_understands_ends_watches_with_the_reason(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer, frame(1, json.dumps({"type": "riddle"}).encode()))
        await reader.read()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        watcher = await client.watch(Watch())
        with pytest.raises(TaskdeckError) as told:
            async with asyncio.timeout(SECONDS):
                await anext(aiter(watcher))
        assert told.value.code == "daemon.version"


async def test_a_daemon_that_cannot_read_the_request_is_told_of_instead_of_an_empty_list(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = {"type": "hello", "version": "1", "protocol": wire.PROTOCOL, "pid": 1, "started": 0}
        await accept(reader, writer, frame(1, json.dumps(hello).encode()))
        await client_frame(reader)
        error = {"code": "usage", "message": "Cannot read the message: unknown field `cursor`."}
        writer.write(frame(1, json.dumps({"type": "error", "id": 0, "error": error}).encode()))
        await reader.read()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        watcher = await client.watch(Watch())
        with pytest.raises(TaskdeckError, match="another build") as told:
            async with asyncio.timeout(SECONDS):
                await anext(aiter(watcher))
        assert told.value.code == "daemon.version"


async def test_after_a_refusal_a_new_watch_tries_again(tmp_path: Path) -> None:
    refused = True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        if refused:
            refused = False
            await head_of(reader)
            body = json.dumps(
                {"type": "t", "title": "t", "status": 401, "detail": "No.", "code": "access.login"}
            ).encode()
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        hello = {"type": "hello", "version": "1", "protocol": wire.PROTOCOL, "pid": 1, "started": 0}
        await accept(reader, writer, frame(1, json.dumps(hello).encode()))
        opening = json.loads((await client_frame(reader))[1])
        failed = {"type": "error", "id": opening["id"], "error": {"code": "value", "message": "Here we are."}}
        writer.write(frame(1, json.dumps(failed).encode()))
        await reader.read()

    async with server(tmp_path, talk) as path, TaskClient(socket=path) as client:
        for code in ("access.login", "value"):
            watcher = await client.watch(Watch())
            with pytest.raises(TaskdeckError) as told:
                async with asyncio.timeout(SECONDS):
                    await anext(aiter(watcher))
            assert told.value.code == code


async def test_a_line_that_nobody_accepts_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "CONNECT_SECONDS", 0.05)

    async def never(_path: Path) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(address, "_connect_unix", never)
    async with TaskClient(socket=tmp_path / "s") as client:
        with pytest.raises(TaskdeckError, match="in time"):
            await client.hello()
