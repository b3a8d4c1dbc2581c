"""The page under quick hands and slow answers: views, forms, log and history stay those that were asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from engines.errors import TaskdeckError
from engines.model import TaskDetail, TaskState
from engines.paths import from_uri
from tests.support.browser import OpenPage, settled
from tests.support.fake_tasks import START, FakeTasks, make_view, seeded
from tests.support.station import SECONDS
from tests.support.web_server import Site, site

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = ("status of 4",)
"""What the console says while a form asks what will come of half a path."""


@pytest_asyncio.fixture(loop_scope="session")
async def deck(tmp_path: Path) -> AsyncIterator[tuple[Site, FakeTasks]]:
    tasks = FakeTasks(seeded(24))
    async with site(tasks, tmp_path) as served:
        yield served, tasks


class Gate:
    """Holds back what the page asks of some addresses until it is opened."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._open = asyncio.Event()

    async def put(self, page: Page, wanted: Callable[[str], bool]) -> None:
        """Stand before the addresses that `wanted` names."""
        await page.route(wanted, self._pass)

    async def _pass(self, route: Route) -> None:
        self.asked.set()
        await self._open.wait()
        await route.continue_()

    def open(self) -> None:
        """Let everything through."""
        self._open.set()


async def test_asking_for_the_same_list_again_does_not_stop_it(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.locator("#search").fill("holiday")
        await page.keyboard.press("Enter")
        await expect(page.locator("#count")).to_have_text("3")
        await page.keyboard.press("Enter")
        tasks.change("t000", done=1, total=2)
        await expect(page.locator('[data-id="t000"] .percent')).to_have_text("50.0%")


async def test_a_link_opened_on_the_login_page_signs_in(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(f"{served.url}/dashboard") as page:
        await expect(page.locator("#token")).to_be_visible()
        await page.goto(served.link())  # differs behind the "#" only: the browser loads nothing
        await settled(page)
        assert "code" not in page.url


async def test_keeping_a_task_stays_on_its_page(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    tasks.put(make_view("t000", title="kept", state=TaskState.COMPLETED, finished=START))
    async with open_page(served.link()) as page:
        await settled(page)
        await page.evaluate("location.hash = '#/task/t000'")
        await page.locator("#view").get_by_role("button", name="Remove").click()
        await page.get_by_role("button", name="Keep").click()
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(page.locator("#view h2")).to_have_text("kept")
        await page.locator("#view").get_by_role("button", name="Remove").click()
        await page.locator("dialog").get_by_role("button", name="Remove").click()
        await expect(page.locator("#tasks-title")).to_be_visible()


async def test_the_view_is_the_last_one_asked_for(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        slow = Gate()
        await slow.put(page, lambda url: "/tasks/t000?" in url)
        await page.evaluate("location.hash = '#/task/t000'")
        await asyncio.wait_for(slow.asked.wait(), SECONDS)
        await page.evaluate("location.hash = '#/task/t001'")
        wanted = tasks.views["t001"].title
        await expect(page.locator("#view h2")).to_have_text(wanted)
        async with page.expect_response(lambda answer: "/tasks/t000?" in answer.url):
            slow.open()
        tasks.change("t001", done=1, total=2)
        await expect(page.locator("#view .percent")).to_have_text("50.0%")
        await expect(page.locator("#view h2")).to_have_text([wanted])


async def test_lines_of_the_log_stand_there_once(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, tasks = deck

    async def log(task_id: str, *, after: int = 0) -> tuple[int, list[str]]:
        return 3, ["one", "two", "three"][after:]

    monkeypatch.setattr(tasks, "log", log)
    async with open_page(served.link()) as page:
        await settled(page)
        slow = Gate()
        await slow.put(page, lambda url: "/t000/log?" in url)
        await page.evaluate("location.hash = '#/task/t000'")
        await asyncio.wait_for(slow.asked.wait(), SECONDS)
        async with page.expect_response(lambda answer: "log_lines=1" in answer.url):
            tasks.change("t000", state=TaskState.PAUSED)  # asks for the log too
        await page.evaluate("fetch('api/v1/session')")  # the page has handled the answer before
        slow.open()
        await expect(page.locator(".log")).to_have_text("one\ntwo\nthree\n")


async def test_what_ends_while_the_history_is_read_repeats_nothing(tmp_path: Path, open_page: OpenPage) -> None:
    ended = [
        make_view(f"t{n:03d}", title=f"task {n}", state=TaskState.COMPLETED, finished=START - n) for n in range(80)
    ]
    tasks = FakeTasks([*ended, make_view("now")])
    async with site(tasks, tmp_path) as served, open_page(served.link()) as page:
        await settled(page)
        await page.evaluate("location.hash = '#/history'")
        await expect(page.locator("tbody tr")).to_have_count(50)
        tasks.change("now", state=TaskState.COMPLETED, finished=START + 1)
        await page.get_by_role("button", name="Show more").click()
        await expect(page.locator("tbody tr")).to_have_count(80)
        names = await page.locator("tbody td.name a").all_inner_texts()
        assert names == [view.title for view in ended]


async def test_the_history_shows_the_last_filter_typed(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.evaluate("location.hash = '#/history'")
        await expect(page.locator("tbody tr")).to_have_count(6)
        slow = Gate()
        await slow.put(page, lambda url: "kind%3Atranscode" in url)
        await page.get_by_label("Filter the history").fill("kind:transcode")
        await asyncio.wait_for(slow.asked.wait(), SECONDS)
        await page.get_by_label("Filter the history").fill("nothing has this name")
        await expect(page.locator("tbody")).to_contain_text("Nothing matches")
        async with page.expect_response(lambda answer: "kind%3Atranscode" in answer.url):
            slow.open()
        await page.evaluate("fetch('api/v1/session')")
        await expect(page.locator("tbody")).to_contain_text("Nothing matches")
        await expect(page.locator("tbody tr")).to_have_count(1)


async def test_another_operation_takes_over_what_fits(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.keyboard.press("n")
        dialog = page.locator("dialog")

        async def choose(name: str) -> None:
            await dialog.get_by_role("button", name=name, exact=True).click()

        await choose("unzip")
        await dialog.locator("#new-path").fill("/srv/a.zip")
        await dialog.locator("#new-files").fill("*.jpg")
        await choose("zipinfo")
        await expect(dialog.locator("#new-path")).to_have_value("/srv/a.zip")
        await expect(dialog.locator("#new-files")).not_to_be_checked()
        await dialog.locator("#new-files").check()
        await choose("unzip")
        await expect(dialog.locator("#new-path")).to_have_value("/srv/a.zip")
        await expect(dialog.locator("#new-files")).to_have_value("")


async def test_a_refusal_names_the_fields_of_the_form(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.keyboard.press("n")
        dialog = page.locator("dialog")
        await dialog.get_by_role("button", name="transcode", exact=True).click()
        await dialog.locator("#new-path").fill("/srv/film.mkv")
        tasks.refuse = TaskdeckError(
            "usage", "cannot use --crf with --keep-if-smaller", "see `taskdeck transcode --help`", "not with --nothing"
        )
        await dialog.get_by_role("button", name="Start").click()
        await expect(dialog.locator(".error[role=alert]")).to_have_text(
            "cannot use “Crf” with “Keep if smaller”: see `taskdeck transcode --help`; not with --nothing."
        )
        await expect(dialog.locator("#new-path")).to_have_value("/srv/film.mkv")


async def test_a_value_that_is_wrong_is_shown_also_when_it_is_folded_away(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, _ = deck
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.keyboard.press("n")
        dialog = page.locator("dialog")
        await dialog.get_by_role("button", name="transcode", exact=True).click()
        await dialog.locator("#new-path").fill("/srv/film.mkv")
        await dialog.get_by_text("More", exact=True).click()
        await dialog.locator("#new-chunk").fill("0")
        await dialog.get_by_text("More", exact=True).click()
        await expect(dialog.locator("#new-chunk")).to_be_hidden()
        await dialog.get_by_role("button", name="Start").click()
        await expect(dialog.locator("#new-chunk")).to_be_focused()


async def test_an_address_that_was_mistyped_is_told(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link(), allowed=("404",)) as page:
        await settled(page)
        await page.evaluate("location.hash = '#/task/%zz'")
        await expect(page.locator("#alerts .toast")).to_contain_text("cannot find task")


async def test_problems_are_seen_and_heard_over_a_dialog(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, tmp_path: Path
) -> None:
    served, _ = deck
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.keyboard.press("n")
        await page.locator("#new-path").fill("/etc/passwd")
        await page.locator("dialog").get_by_role("button", name="Browse").first.click()
        toast = page.locator(".toast.bad")
        await expect(toast).to_contain_text("outside")
        assert await toast.evaluate(
            "node => { const box = node.getBoundingClientRect();"
            " return node.contains(document.elementFromPoint(box.left + 9, box.top + 9)); }"
        )


async def test_the_picker_gives_names_as_they_are_on_the_disk(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, tmp_path: Path
) -> None:
    served, _ = deck
    folder = tmp_path / "a#b? 100%"
    folder.mkdir()
    names = [b"bytes \xff.txt", b"line\nbreak.txt", "\u202eright to left.txt".encode()]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"x")
    found = []
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.keyboard.press("n")
        for number in range(len(names)):
            await page.locator("#new-path").fill(f"{folder}/")
            await page.locator("dialog").get_by_role("button", name="Browse").first.click()
            await page.locator("dialog").last.locator(".files button").nth(number).click()
            found.append(await page.locator("#new-path").input_value())
    assert sorted(os.fsencode(from_uri(path)) for path in found) == sorted(
        os.fsencode(folder) + b"/" + name for name in names
    )


async def test_a_browser_does_not_ask_again_for_a_stream_that_has_ended(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, tasks = deck
    done = next(view.id for view in tasks.views.values() if view.state is TaskState.COMPLETED)
    tasks.put(tasks.views[done])
    async with open_page(served.link()) as page:
        await settled(page)
        closed = """id => new Promise(done => {
          const source = new EventSource(`api/stream/${id}`);
          source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(true); };
        })"""
        assert await asyncio.wait_for(page.evaluate(closed, done), SECONDS)


async def test_a_refusal_of_a_proxy_ends_the_sending(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, tmp_path: Path
) -> None:
    served, _ = deck
    (tmp_path / "big.bin").write_bytes(b"x")
    async with open_page(served.link(), allowed=REFUSED) as page:
        await settled(page)
        await page.route("**/api/v1/uploads?*", lambda route: route.fulfill(status=413, body="<h1>Too large</h1>"))
        await page.keyboard.press("n")
        async with page.expect_file_chooser() as choosing:
            await page.locator("dialog").get_by_role("button", name="Upload").first.click()
        await (await choosing.value).set_files(tmp_path / "big.bin")
        await expect(page.locator(".toast.bad")).to_have_text("The server answered 413.")
        await expect(page.locator("dialog")).to_have_count(1)


async def test_charts_are_drawn_anew_without_being_asked_for_again(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/statistics" in request.url else None)
        await page.evaluate("location.hash = '#/history'")
        chart = page.locator("canvas.chart").first
        await expect(chart).to_be_visible()
        await page.set_viewport_size({"width": 700, "height": 900})
        for _ in range(5):
            await page.evaluate("dispatchEvent(new Event('resize'))")
        drawn = "node => node.width === Math.round(node.clientWidth * devicePixelRatio)"
        async with asyncio.timeout(SECONDS):
            while not await chart.evaluate(drawn):  # noqa: ASYNC110 - the browser tells nobody
                await asyncio.sleep(0.05)
        assert len(asked) == 1


async def test_what_is_sent_again_for_want_of_an_answer_is_the_same_wish(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, tasks = deck
    keys: list[str] = []

    async def lose_the_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()  # it arrives; the answer does not
            await route.abort()
        else:
            await route.continue_()

    async with open_page(served.link(), allowed=(*REFUSED, "ERR_FAILED")) as page:
        await settled(page)
        await page.route("**/api/v1/tasks", lose_the_first)
        await page.keyboard.press("n")
        dialog = page.locator("dialog")
        await dialog.locator("#new-path").fill("/srv/a")
        start = dialog.get_by_role("button", name="Start")
        problem = dialog.locator(".error[role=alert]")
        await start.click()
        await expect(problem).to_contain_text("cannot be reached")
        tasks.refuse = TaskdeckError("path.missing", "cannot find '/srv/a'")
        await start.click()
        await expect(problem).to_contain_text("cannot find")
        await start.click()
        await dialog.locator("#new-path").fill("/srv/b")
        tasks.refuse = None
        await start.click()
        await expect(dialog).to_have_count(0)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


async def test_two_clicks_unpack_once(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    view = tasks.put(make_view("info", op="zipinfo", state=TaskState.COMPLETED, finished=START))
    tasks.details["info"] = TaskDetail(
        view, {"path": "/srv/a.zip"}, "taskdeck zipinfo", result={"members": [{"name": "a", "size": 1}]}, reply="1 file"
    )
    async with open_page(served.link()) as page:
        await settled(page)
        await page.evaluate("location.hash = '#/task/info'")
        await page.locator(".tree-box input").check()
        await page.get_by_role("button", name="Unpack selected").dblclick()
        await expect(page.locator("#toasts .toast")).to_contain_text("Unpacking")
        await expect(page.get_by_role("button", name="Unpack selected")).to_be_enabled()
    assert len([call for call in tasks.asked if call[0] == "submit"]) == 1
