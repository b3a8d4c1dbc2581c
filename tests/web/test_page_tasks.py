"""The dashboard in a real browser, over tasks in memory: cards, filters, selection, forms, themes, sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from engines.model import Action, TaskState, WaitReason
from engines.query import Query
from tests.support.browser import OpenPage, settled
from tests.support.fake_tasks import FakeTasks, make_view, seeded
from tests.support.web_server import Site, site

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202egpj.zip"


@pytest_asyncio.fixture(loop_scope="session")
async def deck(tmp_path: Path) -> AsyncIterator[tuple[Site, FakeTasks]]:
    tasks = FakeTasks(seeded(24))
    async with site(tasks, tmp_path) as served:
        yield served, tasks


async def test_a_card_shows_what_the_guide_shows(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        card = page.locator('[data-id="t000"]')
        await expect(card.locator("h3")).to_have_text("holiday pictures 2025")
        await expect(card.locator(".badge")).to_have_text("Compressing")
        await expect(card.locator(".facts dt")).to_have_text(["Progress", "Speed", "ETA", "Size"])
        for name in ("Pause", "Resume", "Cancel"):
            await expect(card.get_by_role("button", name=name)).to_be_visible()
        labels = await page.locator(".stats dt").all_inner_texts()
        assert labels == ["Active Tasks", "Total Speed", "Total Downloads", "Total Uploads"]
        await expect(page.locator("#stat-downloads")).to_have_text("12")
        await expect(page.locator("#sys-uptime")).to_have_text("12 days 5 hours")


async def test_progress_arrives_without_a_reload(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        tasks.change("t000", done=1_000_000_000, total=4_000_000_000)
        await expect(page.locator('[data-id="t000"] .percent')).to_have_text("25.0%")
        bar = page.locator('[data-id="t000"] .bar')
        await expect(bar).to_have_attribute("aria-valuenow", "25.0")


async def test_what_the_server_has_to_say_is_above_everything(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await expect(page.locator("#notice")).to_be_hidden()
        tasks.notices = ("The <b>database</b> was damaged.",)
        tasks.change("t000", done=1_000_000_000)
        await expect(page.locator("#notice")).to_have_text("The <b>database</b> was damaged.")


async def test_buttons_pause_resume_and_cancel(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        card = page.locator('[data-id="t000"]')
        await card.get_by_role("button", name="Pause").click()
        await expect(card.locator(".badge")).to_have_text("Paused")
        await card.get_by_role("button", name="Resume").click()
        await expect(card.locator(".badge")).to_have_text("Compressing")
        await card.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel it").click()
        await expect(card.locator(".badge")).to_have_text("Cancelled")
        assert [call[2] for call in tasks.asked if call[0] == "control"] == [Action.PAUSE, Action.RESUME, Action.CANCEL]


async def test_a_cancel_that_is_not_confirmed_does_nothing(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.locator('[data-id="t000"]').get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Keep").click()
        await expect(page.locator("dialog")).to_have_count(0)
        assert not [call for call in tasks.asked if call[0] == "control"]


async def test_a_refusal_is_told_in_words(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link(), allowed=("409",)) as page:
        await settled(page)
        # The task ends at the server just when the button is pressed.
        tasks.views["t000"] = make_view("t000", state=TaskState.COMPLETED)
        await page.locator('[data-id="t000"]').get_by_role("button", name="Pause").click()
        await expect(page.locator("#alerts .toast")).to_contain_text("its state does not allow it")


async def test_hostile_names_stay_text(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    from engines.names import display

    async with open_page(served.link()) as page:
        await settled(page)
        tasks.put(make_view("evil", title=display(HOSTILE), item="</p><script>alert(3)</script>"))
        tasks.wake()
        await expect(page.locator('[data-id="evil"] h3')).to_have_text(display(HOSTILE))
        assert await page.locator("#tasks img, #tasks script").count() == 0
        await page.goto(f"{served.url}/dashboard#/task/evil")
        await expect(page.locator("#view h2")).to_have_text(display(HOSTILE))
        assert await page.locator("#view img, #view script").count() == 0


async def test_no_script_comes_in_through_the_page(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link(), allowed=("This document requires", "Creating a TrustedTypePolicy")) as page:
        await settled(page)
        for way in (
            "document.body.innerHTML = '<b>x</b>'",
            "document.createElement('script').src = 'https://evil.test/x.js'",
            "trustedTypes.createPolicy('other', {})",
        ):
            refused = await page.evaluate(f"() => {{ try {{ {way}; return false }} catch {{ return true }} }}")
            assert refused, way
        # An inline script that is there all the same does not run.
        await page.evaluate("""() => { const script = document.createElement('script');
            script.append('globalThis.came = 1'); document.body.append(script); }""")
        assert await page.evaluate("globalThis.came") is None


async def test_filters_sorting_and_search_are_done_by_the_server(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.get_by_role("button", name="Failed").click()
        await expect(page.locator("#count")).to_have_text("3")
        await expect(page.locator(".card .badge").first).to_have_text("Error")
        await page.get_by_role("button", name="All", exact=True).first.click()
        await page.locator("#search").fill("movies")
        await expect(page.locator(".card h3").first).to_contain_text("movies")
        await page.locator("#search").fill("")
        await expect(page.locator("#count")).to_have_text("24")
        await page.locator("#sort").select_option("name")
        await expect(page.locator(".card h3").first).to_have_text(
            "a very long name of a folder that joins all the words somebody could think of"
        )
        await page.locator("#search").fill("status:nonsense")
        await expect(page.locator("#alerts .toast")).to_contain_text("cannot filter by status")


async def test_several_tasks_are_steered_at_once(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.get_by_role("button", name="Select", exact=True).click()
        for key in ("t000", "t001"):
            await page.locator(f'[data-id="{key}"] input').check()
        await expect(page.locator("#bulk-count")).to_have_text("2 selected")
        await page.locator('[data-bulk="pause"]').click()
        await expect(page.locator('[data-id="t001"] .badge')).to_have_text("Paused")
        assert ("control", ("t000", "t001"), Action.PAUSE) in tasks.asked
        await expect(page.locator("#bulk")).to_be_hidden()


async def test_keys_steer_and_can_be_switched_off(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.keyboard.press("j")
        await page.keyboard.press("p")
        await expect(page.locator(".card[data-status=paused]").first).to_be_visible()
        await page.keyboard.press("/")
        await page.keyboard.type("npx")
        await expect(page.locator("dialog")).to_have_count(0)
        assert await page.locator("#search").input_value() == "npx"
        await page.keyboard.press("Escape")
        await page.evaluate("localStorage.setItem('keys', 'off')")
        await page.keyboard.press("n")
        await expect(page.locator("dialog")).to_have_count(0)


async def test_the_form_comes_from_the_table_of_operations(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, tmp_path: Path
) -> None:
    served, tasks = deck
    (tmp_path / "folder one").mkdir()
    (tmp_path / "folder one" / "ä & b.txt").write_text("x")
    async with open_page(served.link(), allowed=("404", "405")) as page:
        await settled(page)
        await page.locator("#new").click()
        dialog = page.locator("dialog")
        await expect(dialog.locator(".ops button").first).to_have_text("zip")
        await dialog.get_by_role("button", name="Browse").first.click()
        picker = page.locator("dialog").last
        await picker.get_by_text(str(tmp_path), exact=True).last.click()
        await picker.get_by_text("folder one").click()
        await picker.get_by_text("ä & b.txt").click()
        await expect(dialog.locator("#new-path")).to_have_value(str(tmp_path / "folder one" / "ä & b.txt"))
        await dialog.locator("#new-format").select_option("tar.zst")
        await dialog.get_by_role("button", name="Start").click()
        await expect(page.locator("#toasts .toast")).to_contain_text("Queued")
    asked = next(call for call in tasks.asked if call[0] == "submit")
    assert asked[1] == {"op": "zip", "path": str(tmp_path / "folder one" / "ä & b.txt"), "format": "tar.zst"}


async def test_the_chosen_theme_is_there_before_any_script(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        await page.locator("#theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        answer = await page.request.get(f"{served.url}/dashboard")
        assert '<html lang="en" data-theme="dark">' in await answer.text()


@pytest.mark.parametrize("view", ["", "task/t000", "history", "settings"])
async def test_nothing_is_wider_than_a_small_phone(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, view: str
) -> None:
    served, _ = deck
    async with open_page(served.link(), width=360, height=740) as page:
        await settled(page)
        if view:
            await page.evaluate(f"location.hash = '#/{view}'")
            await expect(page.locator("#view h2").first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if view == "history":
            await expect(page.locator("td.name").first).to_be_visible()
            assert await page.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('.scroll'))")
        too_small = await page.evaluate(
            "[...document.querySelectorAll('main button, header button, nav a')].filter(n => n.offsetParent && "
            "(n.offsetHeight < 36 || n.offsetWidth < 36)).map(n => n.outerHTML)"
        )
        assert too_small == []


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
async def test_axe_finds_nothing(deck: tuple[Site, FakeTasks], open_page: OpenPage, theme: str, width: int) -> None:
    served, _ = deck
    source = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
    async with open_page(served.link(), theme=theme, width=width) as page:
        await settled(page)
        await page.evaluate(source)
        for view in ("", "task/t000", "history", "settings"):
            await page.evaluate(f"location.hash = '#/{view}'")
            if view:
                await expect(page.locator("#view h2").first).to_be_visible()
            found = await page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
            assert found == [], view
        await page.evaluate("location.hash = '#/'")
        await page.locator("#new").click()
        await expect(page.locator("dialog h2")).to_be_visible()
        found = await page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
        assert found == []
    async with open_page(f"{served.url}/login", theme=theme) as page:
        await page.evaluate(source)
        found = await page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
        assert found == []


async def test_any_number_of_tasks_can_be_scrolled_to_with_few_cards(tmp_path: Path, open_page: OpenPage) -> None:
    tasks = FakeTasks(seeded(1200))
    wanted = [view.id for view in tasks.page(Query(limit=1200)).items]
    async with site(tasks, tmp_path) as served, open_page(served.link()) as page:
        await settled(page)
        seen: list[str] = []
        for place in range(
            0, 1200, 24
        ):  # a screen and its surroundings hold more than 24: what is on it is asked for by place
            at = page.locator(f'.card[aria-posinset="{place + 1}"]')
            await page.evaluate(
                "place => { const box = document.getElementById('tasks'), style = getComputedStyle(box);"
                " const columns = style.gridTemplateColumns.split(' ').length;"
                " const row = parseFloat(style.gridAutoRows) + parseFloat(style.rowGap);"
                " scrollTo(0, box.offsetTop + Math.floor(place / columns) * row - 150); }",
                place,
            )
            await expect(at).to_be_in_viewport()
            seen += await page.evaluate(
                "place => Array.from({length: 24}, (_, n) => "
                "document.querySelector(`.card[aria-posinset='${place + n + 1}']`)?.dataset.id).filter(Boolean)",
                place,
            )
            assert await page.locator(".card").count() <= 160
        assert seen == wanted
        tasks.change(wanted[-1], title="seen at the very end", priority=1)
        await expect(page.locator(f'[data-id="{wanted[-1]}"] h3')).to_have_text("seen at the very end")
        await page.evaluate("scrollTo(0, 0)")
        await expect(page.locator(f'[data-id="{wanted[0]}"]')).to_be_visible()


async def test_everything_that_matches_can_be_selected_and_steered(tmp_path: Path, open_page: OpenPage) -> None:
    tasks = FakeTasks(seeded(700))
    async with site(tasks, tmp_path) as served, open_page(served.link()) as page:
        await settled(page)
        await page.get_by_role("button", name="Paused").click()
        await expect(page.locator("#count")).to_have_text("87")
        await page.keyboard.press("a")
        await expect(page.locator("#bulk-count")).to_have_text("87 selected")
        await page.get_by_role("button", name="All", exact=True).first.click()
        await page.locator("#select-all").click()
        await expect(page.locator("#bulk-count")).to_have_text("700 selected")
        await page.locator("#select-none").click()
        await expect(page.locator("#bulk")).to_be_hidden()
        await page.get_by_role("button", name="Paused").click()
        await page.keyboard.press("a")
        await page.locator('[data-bulk="resume"]').click()
        await expect(page.locator("#empty")).to_be_visible()
    asked = next(call for call in tasks.asked if call[0] == "control")
    assert len(asked[1]) == 87  # type: ignore[arg-type]


async def test_the_form_foretells_what_will_come_out(
    deck: tuple[Site, FakeTasks], open_page: OpenPage, tmp_path: Path
) -> None:
    served, tasks = deck
    tasks.looks["estimate"] = lambda asked: {
        "files": 2, "original": 9_000_000, "packed": 1_000_000 if asked.get("format") == "7z" else 3_000_000,
        "seconds": 2.4, "free": 5_000_000, "fits": asked.get("level") != 0,
    }  # fmt: skip
    (tmp_path / "film.mkv").write_bytes(b"x" * 1234)
    async with open_page(served.link(), allowed=("404",)) as page:
        await settled(page)
        await page.locator("#new").click()
        estimate = page.locator("dialog .estimate")
        await page.locator("#new-path").fill(str(tmp_path / "film.mkv"))
        await expect(estimate).to_have_text("2 files, 9.00 MB, packed about 3.00 MB in 2 seconds; 5.00 MB free")
        await page.locator("#new-format").select_option("7z")
        await expect(estimate).to_contain_text("packed about 1.00 MB")
        await page.locator("#new-level").fill("0")
        await expect(estimate).to_contain_text("it does not fit")
        await page.locator("dialog").get_by_role("button", name="transcode", exact=True).click()
        await expect(estimate).to_contain_text("1.23 KB")
        await page.locator("#new-path").fill(str(tmp_path / "nowhere" / "film.mkv"))
        await expect(estimate).to_contain_text("cannot")
        await page.locator("#new-path").fill("")
        await expect(estimate).to_be_hidden()


async def test_the_page_says_when_the_line_is_lost_and_comes_back(tmp_path: Path, open_page: OpenPage) -> None:
    tasks = FakeTasks(seeded(4))
    async with (
        site(tasks, tmp_path) as served,
        open_page(served.link(), allowed=("WebSocket", "Failed to load")) as page,
    ):
        await settled(page)
        port = served.port
        await served.server.close_tcp()
        for socket in list(served.deck.flights.transports()):
            socket.abort()
        await expect(page.locator("#connection")).to_contain_text("Reconnecting")
        tasks.change("t000", done=1, total=2)
        from engines.settings import WebSettings

        await served.server.listen_tcp(WebSettings(port=port))
        await page.evaluate("dispatchEvent(new Event('online'))")
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        await expect(page.locator('[data-id="t000"] .percent')).to_have_text("50.0%")


async def test_an_ended_task_is_announced(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    async with open_page(served.link()) as page:
        await settled(page)
        tasks.change("t000", state=TaskState.COMPLETED)
        await expect(page.locator("#toasts .toast")).to_contain_text("zip holiday pictures 2025 completed")


async def test_words_of_the_page_are_the_words_of_the_engine(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    from engines import text

    served, _ = deck
    sizes = [0, 1, 999, 1000, 999_994, 999_995, 1_234_567, 4_520_000_000, 10**15]
    seconds = [0, 59.9, 60, 3599, 3600, 86_399, 1_050_000, 120]
    async with open_page(served.link()) as page:
        await settled(page)
        version = await page.evaluate("document.querySelector('script').src.match(/static\\/(\\w+)/)[1]")
        found = await page.evaluate(
            """async ([version, sizes, seconds]) => {
              const words = await import(`/static/${version}/page.js`);
              return [sizes.map(n => words.size(n)),
                [0, 1, 2000].map(n => words.amount(n, 'pictures')),
                ...[words.clock, words.uptime].map(w => seconds.map(n => w(n)))];
            }""",
            [version, sizes, seconds],
        )
    assert found == [
        [text.size(count) for count in sizes],
        [text.amount(count, "pictures") for count in (0, 1, 2000)],
        [text.clock(count) for count in seconds],
        [text.uptime(count) for count in seconds],
    ]


async def test_a_task_that_waits_for_a_password_is_given_it(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    asks = {"state": TaskState.WAITING, "reason": WaitReason.PASSWORD, "note": "Waits for a password.", "total": None}
    async with open_page(served.link(), width=390, height=844) as page:
        await settled(page)
        card = page.locator('[data-id="t000"]')
        await expect(card.get_by_role("button", name="Password")).to_be_hidden()
        for place in (card, page.locator("#view")):
            tasks.put(make_view("t000", title="secret.7z", **asks))
            tasks.wake()
            await place.get_by_role("button", name="Password").click()
            await page.get_by_label("secret.7z", exact=True).fill("open sesame")
            await page.keyboard.press("Enter")
            await expect(place.get_by_role("button", name="Password")).to_be_hidden()
            await expect(place.locator(".badge")).to_have_text("Queued")
            await page.evaluate("location.hash = '#/task/t000'")
    assert [call[1:] for call in tasks.asked if call[0] == "unlock"] == [("t000", {"password": "open sesame"})] * 2


async def test_a_card_has_room_for_all_it_offers(deck: tuple[Site, FakeTasks], open_page: OpenPage) -> None:
    served, tasks = deck
    tasks.put(make_view("t000", state=TaskState.WAITING, reason=WaitReason.PASSWORD, note="Waits for a password."))
    async with open_page(served.link(), width=390, height=844) as page:
        await settled(page)
        card = page.locator('[data-id="t000"]')
        await expect(card.locator(".line")).to_have_text("Waits for a password.")
        assert await card.evaluate("card => card.scrollHeight <= card.clientHeight")
        assert await card.locator(".line").evaluate("line => line.clientHeight > 10")
