"""Behind nginx and Caddy with the very examples of docs/dashboard.md: TLS, a sub-path, WebSockets, files."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from playwright.async_api import expect

from engines.model import Action
from tests.support.browser import OpenPage
from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tests.support.web_server import site
from tui_app.config import load

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).parents[2] / "docs" / "dashboard.md"
UNPACKED = Path(__file__).parents[2] / ".proxies"
"""Where `scripts/system-packages test` unpacks what is not installed."""
_NGINX = """
daemon off; pid {folder}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
        {example}
    }}
}}
"""
_CADDY = """
{{
    admin off
    auto_https disable_redirects
}}
{example}
"""


def example(language: str, after: str) -> str:
    """A code block of the page, the first one behind a line."""
    text = PAGE.read_text()
    found = re.search(rf"```{language}\n(.*?)```", text[text.index(after) :], re.DOTALL)
    assert found is not None
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificate(folder: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, timeout=SECONDS)


@contextmanager
def proxy(name: str, folder: Path, port: int, upstream: int) -> Iterator[None]:
    """The reverse proxy in front of us, until the end of the block."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:{UNPACKED}/usr/sbin:{UNPACKED}/usr/bin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    certificate(folder)
    config = folder / "config"
    if name == "nginx":
        text = example("nginx", "nginx:").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(_NGINX.format(folder=folder, port=port, example=text, user=user))
        words = [program, "-c", str(config), "-p", str(folder), "-e", "stderr"]
    else:
        text = example("", "Caddy:").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        text = text.replace("example.org {", f"localhost:{port} {{\n    tls {folder}/cert.pem {folder}/key.pem", 1)
        config.write_text(_CADDY.format(example=text))
        words = [program, "run", "--config", str(config), "--adapter", "caddyfile"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(words, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            running.terminate()
            running.wait(20)


async def answers(port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_the_documented_proxy_serves_the_page_below_a_path(
    tmp_path: Path, open_page: OpenPage, name: str
) -> None:
    port = free_port()
    public = f"https://localhost:{port}"
    config = tmp_path / "taskdeck.toml"
    config.write_text(example("toml", "## Reverse proxy").replace("https://example.org", public))
    web = msgspec.structs.replace(load(config, environ={}).settings.web, port=0)
    tasks = FakeTasks(seeded(6))
    (tmp_path / "proxy").mkdir()
    async with site(tasks, tmp_path, web=web) as served:
        with proxy(name, tmp_path / "proxy", port, served.port):
            await answers(port)
            code, _ = served.deck.access.make_code("tester")
            link = f"{public}/deck/login#code={code}"
            async with open_page(link, ignore_https_errors=True, allowed=("SSL certificate",)) as page:
                await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
                tasks.change("t000", done=1, total=2)
                await expect(page.locator('[data-id="t000"] .percent')).to_have_text("50.0%")
                await page.locator('[data-id="t000"]').get_by_role("button", name="Pause").click()
                await expect(page.locator('[data-id="t000"] .badge')).to_have_text("Paused")
                await page.evaluate("location.hash = '#/history'")
                await expect(page.locator("#view h2").first).to_be_visible()
                [cookie] = [item for item in await page.context.cookies() if item["name"].startswith("taskdeck_")]
                assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/deck/")
            async with aiohttp.ClientSession(headers=served.bearer()) as http:
                sent = os.urandom(3_000_000)
                address = f"{public}/deck/api/v1/uploads?name=sent.bin"
                kind = {"Content-Type": "application/octet-stream", "Origin": public}
                answer = await http.post(address, data=sent, headers=kind, ssl=False)
                assert answer.status == 201, await answer.text()
                other = await http.post(address, data=b"", headers=kind | {"Origin": "https://evil.test"}, ssl=False)
                assert other.status == 403
    assert (tmp_path / "uploads" / "sent.bin").read_bytes() == sent
    assert ("control", ("t000",), Action.PAUSE) in tasks.asked
