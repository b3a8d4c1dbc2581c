"""The API over the Unix socket: the guide's routes in the guide's formats, ours under /api/v1, errors as problems."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from datetime import date, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from engines.errors import CODES
from engines.model import Action, Actor, TaskView
from tests.support.fake_tasks import FakeTasks
from tests.support.station import SECONDS, Station
from tui_app import wire
from tui_app.daemon import Daemon
from tui_app.web.export import csv_block
from tui_app.web.statistics import summary

ACTOR = Actor("somebody", "api")


async def make(daemon: Daemon, name: str = "a.bin", **fields: Any) -> TaskView:
    op = {"op": "steps", "path": str(daemon.settings.roots[0]) + f"/{name}", "count": 3, "pause": 0, **fields}
    return await daemon.tasks.submit(op, actor=ACTOR)


async def problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    body = json.loads(await response.read())
    assert isinstance(body, dict)
    assert body["status"] == response.status
    assert body["code"] in CODES
    assert body["detail"].endswith(".")
    return body


async def test_guide_tasks_have_the_guides_fields(station: Station, daemon: Daemon) -> None:
    view = await make(daemon)
    await daemon.tasks.wait(view.id)
    async with station.http() as http:
        listed = await (await http.get("/api/tasks")).json()
        single = await (await http.get(f"/api/tasks/{view.id}")).json()
    assert listed["total"] == 1
    assert listed["tasks"] == [single]
    assert single["task_id"] == view.id
    assert (single["status"], single["progress"], single["name"]) == ("completed", 100, "a.bin")
    assert (single["current_size"], single["total_size"]) == (3000, 3000)
    assert single["speed"] == 0


async def test_guide_status_says_error_for_failed_and_compressing_for_running(station: Station, daemon: Daemon) -> None:
    running = await make(daemon, count=10_000, pause=0.05)
    async with station.http() as http:
        async with asyncio.timeout(SECONDS):
            while (found := await (await http.get(f"/api/tasks/{running.id}")).json())["status"] == "queued":  # noqa: ASYNC110 - told by nothing
                await asyncio.sleep(0.01)
    assert found["status"] == "compressing"


async def test_guide_control_pauses_and_answers_in_the_guides_form(station: Station, daemon: Daemon) -> None:
    view = await make(daemon, count=10_000, pause=0.05)
    async with station.http() as http:
        answer = await http.post(f"/api/tasks/{view.id}/control", json={"action": "pause", "reason": "lunch"})
        body = await answer.json()
        assert (answer.status, body["success"], body["task_id"], body["action"]) == (200, True, view.id, "pause")
        again = await http.post("/api/control", json={"action": "cancel", "task_id": view.id})
        assert again.status == 200
    assert (await daemon.tasks.wait(view.id)).state == "cancelled"


async def test_guide_stats_have_the_guides_fields(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        stats = await (await http.get("/api/stats")).json()
    numbers = {
        "active_tasks", "total_downloads", "total_uploads", "total_speed",
        "cpu_usage", "memory_usage", "disk_usage", "uptime",
    }  # fmt: skip
    assert numbers <= stats.keys()
    assert stats["uptime"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stats["timestamp"])


async def test_create_is_durable_and_repeatable_with_a_key(station: Station, daemon: Daemon) -> None:
    body = {"operation": {"op": "steps", "path": "b.bin"}, "base": str(station.root), "options": {"paused": True}}
    async with station.http() as http:
        one = await http.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": "k1"})
        two = await http.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": "k1"})
        body["operation"] = {"op": "steps", "path": "c.bin"}
        other = await http.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": "k1"})
        view = msgspec.json.decode(await one.read(), type=TaskView)
        assert one.status == 201
        assert one.headers["Location"] == f"/api/v1/tasks/{view.id}"
        assert (await two.json())["id"] == view.id
        assert (await problem(other))["code"] == "task.key_reused"
    assert view.state == "paused"


NESTED = b'{"op": "steps", "path": ' + b"[" * 900 + b"1.0" + b"]" * 900 + b"}"


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/api/v1/tasks", b'{"operation": ' + NESTED + b"}", 400),
        ("POST", "/api/v1/tasks", b'{"operation": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
        ("POST", "/api/v1/look", b'{"look": ' + NESTED + b"}", 400),
        ("POST", "/api/v1/look", b'{"look": {"op": "estimate", "path": "a"}, "base": "/\\u0000"}', 400),
        ("GET", "/api/v1/files?path=a&base=/%00", b"", 400),
        ("POST", "/api/v1/tasks/none/control", b'{"action": "pause", "until": 1e300}', 422),
        ("POST", "/api/v1/tasks/bulk", b'{"action": "pause", "until": 1e300}', 422),
    ],
    ids=["deep", "deeper", "deep_look", "nul_base_look", "nul_base", "until", "until_bulk"],
)
async def test_what_cannot_be_meant_is_refused_in_a_sentence(
    station: Station, daemon: Daemon, method: str, path: str, sent: bytes, status: int
) -> None:
    async with station.http() as http:
        answer = await http.request(method, path, data=sent, headers={"Content-Type": "application/json"})
        assert (answer.status, (await problem(answer))["status"]) == (status, status)


async def test_a_key_of_bytes_that_are_no_text_is_refused(station: Station, daemon: Daemon) -> None:
    body = json.dumps({"operation": {"op": "steps", "path": "b.bin"}, "base": str(station.root)}).encode()
    reader, writer = await asyncio.open_unix_connection(str(station.locations.socket_candidates()[0]))
    writer.write(
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Idempotency-Key: \xff\xfe\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert b" 422 " in await reader.readline()
    writer.close()


async def test_addresses_answer_head_without_a_body(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        for path in ("/healthz", "/dashboard", "/api/v1/tasks", "/api/v1/history", "/openapi.json"):
            answer = await http.head(path)
            assert (answer.status, await answer.read()) == (200, b"")
            assert answer.headers["Content-Type"] == (await http.get(path)).headers["Content-Type"]


async def test_list_pages_filters_and_links_to_the_next_window(station: Station, daemon: Daemon) -> None:
    for number in range(5):
        await daemon.tasks.wait((await make(daemon, f"f{number}.bin")).id)
    async with station.http() as http:
        first = await http.get("/api/v1/tasks", params={"limit": 2, "sort": "name"})
        page = await first.json()
        rest = await (await http.get(str(first.links["next"]["url"]))).json()
        found = await (await http.get("/api/v1/tasks", params={"filter": "f3"})).json()
    assert [item["title"] for item in page["items"] + rest["items"]] == ["f0.bin", "f1.bin", "f2.bin", "f3.bin"]
    assert page["total"] == 5
    assert [item["title"] for item in found["items"]] == ["f3.bin"]


async def test_detail_log_events_result_and_removal(station: Station, daemon: Daemon) -> None:
    view = await make(daemon)
    await daemon.tasks.wait(view.id)
    async with station.http() as http:
        base = f"/api/v1/tasks/{view.id}"
        detail = await (await http.get(base)).json()
        assert detail["view"]["state"] == "completed"
        assert detail["command"].startswith("taskdeck steps")
        assert (await (await http.get(f"{base}/result")).json())["result"]["bytes"] == 3000
        kinds = [event["type"] for event in await (await http.get(f"{base}/events")).json()]
        assert kinds[0] == "submit"
        assert kinds[-1] == "complete"
        assert (await http.get(f"{base}/log")).status == 200
        assert (await http.delete(base)).status == 204
        assert (await problem(await http.get(base)))["code"] == "task.missing"


async def test_result_of_an_open_task_is_a_conflict(station: Station, daemon: Daemon) -> None:
    view = await make(daemon, count=10_000, pause=0.05)
    async with station.http() as http:
        assert (await problem(await http.get(f"/api/v1/tasks/{view.id}/result")))["code"] == "task.state"


async def test_a_whole_number_may_be_written_as_a_float(station: Station, daemon: Daemon) -> None:
    operation = {"op": "steps", "path": str(station.root / "f.bin"), "count": 3.0, "pause": 0}
    async with station.http() as http:
        answer = await http.post("/api/v1/tasks", json={"operation": operation})
        assert answer.status == 201, await answer.text()
        for level, status in ((9.0, 200), (221.0, 422), (9.5, 422)):
            question = {"op": "estimate", "path": str(station.root), "level": level}
            looked = await http.post("/api/v1/look", json={"look": question})
            assert looked.status == status, await looked.text()


@pytest.mark.parametrize("root", ["", "relative", "a\0b", "/nowhere"])
async def test_a_task_cannot_be_kept_to_a_folder_that_is_none(station: Station, daemon: Daemon, root: str) -> None:
    async with station.http() as http:
        body = {"operation": {"op": "steps", "path": str(station.root)}, "options": {"roots": [root]}}
        assert (await http.post("/api/v1/tasks", json=body)).status == 404


async def test_bulk_gives_one_outcome_a_task_failures_among_them(station: Station, daemon: Daemon) -> None:
    done = await make(daemon)
    await daemon.tasks.wait(done.id)
    open_task = await make(daemon, "b.bin", count=10_000, pause=0.05)
    async with station.http() as http:
        answer = await http.post("/api/v1/tasks/bulk", json={"action": "pause", "ids": [done.id, open_task.id, "nope"]})
        outcomes = (await answer.json())["outcomes"]
        assert [outcome["ok"] for outcome in outcomes] == [False, True, False]
        assert [outcome["error"] and outcome["error"]["code"] for outcome in outcomes] == [
            "task.state", None, "task.missing",
        ]  # fmt: skip
        by_filter = await http.post("/api/v1/tasks/bulk", json={"action": "remove", "filter": "status:completed"})
        assert [outcome["id"] for outcome in (await by_filter.json())["outcomes"]] == [done.id]
        neither = await http.post("/api/v1/tasks/bulk", json={"action": "remove"})
        assert (await neither.json())["outcomes"] == []
        both = {"action": "cancel", "filter": "status:completed", "ids": [open_task.id]}
        narrowed = await http.post("/api/v1/tasks/bulk", json=both)
        assert (await narrowed.json())["outcomes"] == []


async def test_wait_answers_when_the_task_ends_or_the_time_is_up(station: Station, daemon: Daemon) -> None:
    slow = await make(daemon, count=10_000, pause=0.05)
    async with station.http() as http:
        path = f"/api/v1/tasks/{slow.id}/wait"
        assert (await (await http.get(path, params={"timeout": 0})).json())["finished"] is None
        waiting = asyncio.create_task(http.get(path, params={"timeout": 30}))
        await daemon.tasks.control([slow.id], Action.CANCEL, actor=ACTOR)
        assert (await (await waiting).json())["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "http.route"),
        ("DELETE", "/api/stats", None, 405, "http.method"),
        ("GET", "/api/v1/tasks/zzzzzz", None, 404, "task.missing"),
        ("GET", "/api/v1/tasks/..%2f..", None, 404, "task.missing"),
        ("GET", "/api/v1/tasks?limit=9999", None, 422, "value"),
        ("GET", "/api/v1/tasks?limit=x", None, 422, "value"),
        ("GET", "/api/v1/tasks?sort=x", None, 422, "value"),
        ("GET", "/api/v1/tasks?filter=status:x", None, 422, "value"),
        ("GET", "/api/v1/history?format=xml", None, 422, "value"),
        ("GET", "/ws/dashboard", None, 426, "http.upgrade"),
        ("GET", "/static/../api.py", None, 404, "http.route"),
        ("POST", "/api/v1/tasks", b"{", 400, "usage"),
        ("POST", "/api/v1/tasks", b"[]", 422, "value"),
        ("POST", "/api/v1/tasks", b'{"operation":{"op":"nope"}}', 400, "usage"),
        ("POST", "/api/v1/tasks", b'{"operation":{"op":"zip","path":"/etc/passwd"}}', 403, "path.outside_roots"),
        ("POST", "/api/v1/tasks", b'{"operation":{"op":"zip","path":"/x","level":10}}', 422, "value"),
        ("POST", "/api/v1/tasks", b'{"operation":{"op":"zip","path":"/x"},"base":"rel"}', 422, "value"),
        ("POST", "/api/v1/tasks", b'{"operation":{"op":"zip","path":"/x","bogus":1}}', 422, "value"),
        ("POST", "/api/tasks/zzzzzz/control", b'{"action":"explode"}', 422, "value"),
        ("POST", "/api/tasks/zzzzzz/control", b'{"action":"pause"}', 404, "task.missing"),
        ("POST", "/api/control", b'{"action":"pause"}', 422, "value"),
        ("POST", "/api/v1/tasks", b'"' + b"x" * (2 << 20) + b'"', 413, "http.too_large"),
    ],
)
async def test_every_refusal_is_a_problem_with_a_stable_code(
    station: Station, daemon: Daemon, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    headers = {} if body is None else {"Content-Type": "application/json"}
    async with station.http() as http, http.request(method, path, data=body, headers=headers) as response:
        found = await problem(response)
    assert (response.status, found["code"]) == (status, code)
    if status == 405:
        assert "GET" in response.headers["Allow"]


async def test_a_body_that_is_not_json_is_refused_by_its_type(station: Station, daemon: Daemon) -> None:
    async with station.http() as http, http.post("/api/control", data=b"action=pause") as response:
        assert (await problem(response))["code"] == "http.media_type"


async def test_history_exports_json_and_csv(station: Station, daemon: Daemon) -> None:
    await daemon.tasks.wait((await make(daemon, "=cmd.bin")).id)
    await daemon.tasks.wait((await make(daemon, "two,2.bin")).id)
    async with station.http() as http:
        as_json = await (await http.get("/api/v1/history")).json()
        text = await (await http.get("/api/v1/history", params={"format": "csv"})).text()
        empty = await (await http.get("/api/v1/history", params={"filter": "nothing"})).json()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [item["title"] for item in as_json] == ["=cmd.bin", "two,2.bin"]
    assert [row["title"] for row in rows] == ["'=cmd.bin", "two,2.bin"]
    assert empty == []


def test_csv_disarms_formulas() -> None:
    assert csv_block([["=1+1", "+x", "-x", "@x", "\tx", "plain"]]) == b"'=1+1,'+x,'-x,'@x,'\tx,plain\r\n"


async def test_files_lists_inside_the_roots_only(station: Station, daemon: Daemon) -> None:
    (station.root / "sub").mkdir()
    (station.root / "file.txt").write_bytes(b"12345")
    (station.root / "evil\x1b[31m\nname").touch()
    (station.root / "out").symlink_to("/etc")
    async with station.http() as http:
        page = await (await http.get("/api/v1/files", params={"path": str(station.root)})).json()
        names = {entry["name"]: entry for entry in page["entries"]}
        assert names["file.txt"]["size"] == 5
        assert names["sub"]["folder"]
        assert all(name.isprintable() for name in names)
        roots = await (await http.get("/api/v1/files")).json()
        assert [entry["name"] for entry in roots["entries"]] == [str(station.root)]
        for outside in ("/etc", str(station.root / "out"), str(station.root / ".." / ".."), "/proc/self/root/etc"):
            refused = await http.get("/api/v1/files", params={"path": outside})
            assert (await problem(refused))["code"] == "path.outside_roots", outside
        for path, code in ((station.root / "file.txt", "path.kind"), (station.root / "nope", "path.missing")):
            assert (await problem(await http.get("/api/v1/files", params={"path": str(path)})))["code"] == code
        for long in (str(station.root / ("x" * 300)), "x" * 300, "x" * 4096):
            assert (await problem(await http.get("/api/v1/files", params={"path": long})))["code"] == "path.missing"


async def test_operations_and_openapi_describe_every_operation_and_route(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        table = {row["name"]: row for row in await (await http.get("/api/v1/operations")).json()}
        document = await (await http.get("/openapi.json")).json()
    level = next(field for field in table["zip"]["fields"] if field["name"] == "level")
    assert (level["minimum"], level["maximum"], level["positional"]) == (0, 9, True)
    assert document["openapi"].startswith("3.1")
    assert {"/api/tasks", "/api/v1/tasks", "/metrics"} <= document["paths"].keys()
    text = json.dumps(document)
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in document["components"]["schemas"], name
    choices = document["components"]["schemas"]["CreateRequest"]["properties"]["operation"]["oneOf"]
    assert len(choices) == len(table)


async def test_openapi_tells_the_messages_of_live_connections(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        document = await (await http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    live = document["paths"]["/ws/dashboard"]["get"]
    assert set(live["responses"]) >= {"101", "426"}
    assert set(live["x-websocket"]) == {"taskdeck.v1", ""}

    def names(union: dict[str, Any]) -> set[str]:
        return {item["$ref"].rpartition("/")[2] for item in union["anyOf"]}

    native, plain = live["x-websocket"]["taskdeck.v1"], live["x-websocket"][""]
    assert {"Hello", "Updated", "WatchFailed"} < names(native["server"])
    assert {"TaskStatus", "DashboardStats", "Announcement"} <= names(plain["server"])
    assert names(plain["server"]) | names(native["server"]) | names(native["client"]) <= set(schemas)
    stream = document["paths"]["/api/stream/{id}"]["get"]
    content = stream["responses"]["200"]["content"]["text/event-stream"]
    assert content["x-data-schema"] == {"$ref": "#/components/schemas/TaskStatus"}
    assert any(item["name"] == "Last-Event-ID" and item["in"] == "header" for item in stream["parameters"])


async def test_health_readiness_and_metrics(station: Station, daemon: Daemon) -> None:
    await daemon.tasks.wait((await make(daemon)).id)
    async with station.http() as http:
        assert (await http.get("/healthz")).status == 200
        assert (await http.get("/readyz")).status == 200
        text = await (await http.get("/metrics")).text()
    assert 'taskdeck_tasks{state="completed"} 1' in text
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9_]+(\{[^}]*\})? [0-9.e+-]+", line), line


async def test_reorder_and_control_all(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        stats = await (await http.post("/api/v1/control_all", json={"action": "pause"})).json()
        assert stats["paused_all"] is True
        view = await make(daemon)
        moved = await (await http.post(f"/api/v1/tasks/{view.id}/reorder", json={"priority": 7})).json()
        assert moved["priority"] == 7
        stats = await (await http.post("/api/v1/control_all", json={"action": "resume"})).json()
        assert stats["paused_all"] is False
    assert (await daemon.tasks.wait(view.id)).state == "completed"


async def test_repeat_makes_a_new_task_of_the_same_operation(station: Station, daemon: Daemon) -> None:
    view = await make(daemon)
    await daemon.tasks.wait(view.id)
    async with station.http() as http:
        answer = await http.post(f"/api/v1/tasks/{view.id}/repeat", json={})
        again = await answer.json()
        assert answer.status == 201 and again["id"] != view.id and again["op"] == view.op
        assert (await http.post("/api/v1/tasks/zzzz/repeat", json={})).status == 404


async def test_hello_names_version_and_protocol_on_every_answer(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        answer = await http.get("/api/v1/hello")
        hello = msgspec.json.decode(await answer.read(), type=wire.Hello)
        assert (hello.protocol, hello.version) == (wire.PROTOCOL, wire.program_version())
        assert answer.headers[wire.PROTOCOL_HEADER] == str(wire.PROTOCOL)
        missing = await http.get("/nowhere")
        assert missing.headers[wire.PROTOCOL_HEADER] == str(wire.PROTOCOL)


async def test_a_client_of_another_protocol_is_told_to_restart_the_daemon(station: Station, daemon: Daemon) -> None:
    async with station.http() as http:
        other = {wire.PROTOCOL_HEADER: "99", wire.VERSION_HEADER: "9.9"}
        refused = await problem(await http.get("/api/v1/stats", headers=other))
        assert refused["code"] == "daemon.version"
        assert "restart" in refused["detail"]
        assert (await http.get("/api/v1/hello", headers=other)).status == 200


async def test_statistics_have_every_day_of_the_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")  # 29 March 2026 has 23 hours there, 25 October 25
    time.tzset()
    try:
        for now in ("2026-04-05 00:30", "2026-11-01 23:30"):
            moment = time.mktime(time.strptime(now, "%Y-%m-%d %H:%M"))
            found = await summary(FakeTasks(), days=14, now=moment)
            last = date.fromisoformat(now[:10])
            assert [day.day for day in found.days] == [str(last - timedelta(age)) for age in range(13, -1, -1)]
    finally:
        monkeypatch.undo()
        time.tzset()
