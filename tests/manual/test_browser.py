"""The demo's pages in a real browser: what staff and developers do there, and whether everyone can use them.

``--pictures docs`` makes the pictures of the manual anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from ossn_messaging.admin.conversation_view import SIZE
from tests.support import ROOT
from tests.support.browser import Site, live_site, log_in, send_from_swagger, window
from tests.support.client import App, bare, fetch, texts
from tests.support.conversation import LONG
from tests.support.files import PDF, SAMPLES
from tests.support.readme import PICTURE, pages

pytestmark = pytest.mark.system

TABS = 60
"""How often somebody would press Tab before they give up."""
LARGEST = 200_000
"""How many bytes a picture of the manual may have."""


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with live_site(tmp_path_factory.mktemp("demo")) as site:
        yield site


@pytest.fixture
def admin(browser: Browser, login: Any) -> Iterator[Page]:
    with window(browser, storage_state=login) as page:
        yield page


def open_message(page: Page, site: Site, message: dict[str, Any]) -> None:
    page.goto(f"{site.messages}{message['id']}/change/")


def wait_for_picture(picture: Locator) -> None:
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("picture => picture.naturalWidth") > 0


def test_a_message_is_found_and_its_files_are_opened(site: Site, admin: Page) -> None:
    admin.goto(site.messages)
    rows = admin.locator("#result_list tbody tr")
    search = admin.locator("#searchbar")
    search.fill("ben")
    search.press("Enter")
    expect(rows.filter(has_text="carla")).to_have_count(0)
    found = rows.filter(has_text="It was beautiful at the lake")
    number = found.locator(".field-id").inner_text()
    search.fill(number)
    search.press("Enter")
    expect(rows).to_have_count(1)
    wait_for_picture(found.get_by_role("img", name="lake.jpg"))
    found.get_by_role("link", name="anna to ben").click()
    expect(admin.get_by_role("heading", name="anna and ben")).to_be_visible()
    expect(admin.locator(f"#message-{number}")).to_be_in_viewport()
    wait_for_picture(admin.get_by_role("img", name="lake.jpg"))
    with admin.expect_download() as download:
        admin.get_by_role("link", name="timetable.pdf").click()
    assert download.value.suggested_filename == "timetable.pdf"
    assert Path(download.value.path()).read_bytes() == PDF


def test_a_file_is_not_for_strangers(site: Site, browser: Browser, david: App, ben: App) -> None:
    sent = david.send(ben, "for Ben alone", "photo.png")
    with window(browser) as stranger:
        answer = stranger.goto(bare(sent))
        assert answer is not None
        assert answer.status == 404
    with window(browser) as clerk:
        log_in(clerk, site, "clerk")
        answer = clerk.goto(bare(sent))
        assert answer is not None
        assert answer.status == 404
        for path in (site.messages, f"{site.messages}{sent['id']}/change/", site.conversation("david", "ben")):
            clerk.goto(path)
            expect(clerk.get_by_text("13 characters").first).to_be_visible()
            expect(clerk.get_by_text(re.compile(rf"{len(SAMPLES['photo.png'])}\sbytes")).first).to_be_visible()
            expect(clerk.get_by_text("for Ben alone")).to_have_count(0)
            expect(clerk.locator("img[src*=attachment], a[href*=attachment\\/]")).to_have_count(0)
            expect(clerk.get_by_text("Delete for both users")).to_have_count(0)


def test_a_message_is_moderated_away(site: Site, admin: Page, david: App, ben: App) -> None:
    sent = david.send(ben, "an insult", "photo.png")
    open_message(admin, site, sent)
    admin.get_by_role("button", name="Delete for both users").click()
    expect(admin.get_by_text("an insult")).to_be_visible()
    assert "an insult" in texts(ben.page(david)), "it is asked first"
    admin.get_by_role("link", name="No, take me back").click()
    assert "an insult" in texts(ben.page(david))
    open_message(admin, site, sent)
    admin.get_by_role("button", name="Delete for both users").click()
    admin.get_by_role("button", name="Yes, delete").click()
    expect(admin.get_by_text("It is deleted.")).to_be_visible()
    admin.goto(site.conversation("david", "ben"))
    expect(admin.locator(f"#message-{sent['id']}")).to_contain_text("deleted for both")
    expect(admin.get_by_text("an insult")).to_have_count(0)
    for one, other in ((david, ben), (ben, david)):
        (gone,) = (message for message in one.page(other) if message["id"] == sent["id"])
        assert (gone["message"], gone["is_deleted"]) == ("", "1")
    assert fetch(sent["attachment_url"])[0] == 404


def test_a_key_is_made_and_copied(site: Site, admin: Page) -> None:
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    make_key(admin, site, "the shop")
    admin.get_by_role("button", name="Copy").click()
    expect(admin.get_by_role("button", name="Copied")).to_be_visible()
    key = admin.evaluate("navigator.clipboard.readText()")
    assert App(site.url, key, site.people["anna"]).unread() == (1, 1)
    admin.get_by_role("link", name="I have copied it").click()
    expect(admin.get_by_role("link", name="the shop").first).to_be_visible()
    assert key not in admin.content()


def make_key(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.keys}add/")
    page.locator("#id_name").fill(name)
    page.locator("[name=_save]").click()
    expect(page.locator("#api-key")).to_be_visible()


def test_files_are_sent_from_swagger(site: Site, browser: Browser, tmp_path: Path) -> None:
    names = ["letter.docx", "dummy.pdf"]
    with window(browser) as page:
        for name in names:
            (tmp_path / name).write_bytes(SAMPLES[name])
            send_from_swagger(page, site, site.key, f"Here is {name}", tmp_path / name)
    one, other = (App(site.url, site.key, guid) for guid in (1, 2))
    sent = [message for message in one.page(other) if message["message"].startswith("Here is ")]
    assert [fetch(message["attachment_url"]) for message in sent] == [(200, SAMPLES[name]) for name in names]


NARROW = {"viewport": {"width": 375, "height": 700}}


@pytest.mark.parametrize(
    ("direction", "looks"),
    [
        pytest.param("ltr", {}, id="light"),
        pytest.param("ltr", {"color_scheme": "dark", **NARROW}, id="dark and narrow"),
        pytest.param("rtl", {"locale": "ar", "color_scheme": "dark"}, id="dark, from the right"),
        pytest.param("rtl", {"locale": "ar", **NARROW}, id="narrow, from the right"),
    ],
)
def test_everyone_can_use_the_admin(
    site: Site, browser: Browser, login: Any, direction: str, looks: dict[str, Any]
) -> None:
    def look(at: str) -> None:
        expect(page.locator(at).first).to_be_visible()
        expect(page.locator("html")).to_have_attribute("dir", direction)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
        assert obstacles(page) == [], page.url

    with window(browser, storage_state=login, **looks) as page:
        page.goto(f"{site.messages}?q=anna")
        look("#result_list")
        page.locator("#result_list tr").filter(has_text="timetable.pdf").locator(".field-id a").click()
        look(".ossn-danger")
        page.get_by_role("button", name="Delete for both users").click()
        look("[name=confirmed]")
        page.goto(site.conversation("anna", "ben"))
        look(".ossn-conversation .ossn-picture")
        page.goto(f"{site.keys}add/")
        look("#id_name")
        make_key(page, site, "another")
        look("#copy-key")
        page.goto(site.keys)
        look("#result_list")


def obstacles(page: Page) -> list[str]:
    """Return what axe-core finds serious or worse, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['target']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_the_front_page(site: Site, browser: Browser, width: int, scheme: Any) -> None:
    def look() -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert obstacles(page) == []

    one, other = (App(site.url, site.key, guid) for guid in (1, 2))
    text = f"Seen at {width} in the {scheme}: {'long' * 40}"
    one.send(other, text, "dummy.pdf")
    with window(browser, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        page.goto(site.url)
        look()
        for password in ("wrong", "testuser"):
            page.get_by_label("Username").fill("testuser")
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("Please enter a correct" if password == "wrong" else text)).to_be_visible()
            look()
        with page.expect_download() as download:
            page.get_by_role("link", name="dummy.pdf").first.click()
        assert Path(download.value.path()).read_bytes() == PDF
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.get_by_text(text)).to_have_count(0)


def test_texts_run_in_their_own_direction(site: Site, browser: Browser, login: Any) -> None:
    """The question mark of an English text stays at its end, on a page that runs from the right."""
    with window(browser, storage_state=login, locale="ar") as page:
        page.goto(f"{site.messages}?q=carla")
        row = page.locator("#result_list tr").filter(has_text="on Saturday?")
        assert_ends_at_the_right(row.locator(".field-content"))
        row.locator(".field-id a").click()
        assert_ends_at_the_right(page.locator(".readonly").filter(has_text="on Saturday?"))
        page.goto(site.conversation("anna", "carla"))
        assert_ends_at_the_right(page.locator(".ossn-text").filter(has_text="on Saturday?"))


def assert_ends_at_the_right(text: Locator) -> None:
    """Assert that the last character of a text is to the right of the one before it."""
    before, last = text.evaluate("""element => {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        let node;
        while (walker.nextNode()) if (walker.currentNode.data.trim()) node = walker.currentNode;
        const end = node.data.trimEnd().length;
        return [end - 2, end - 1].map(start => {
            const range = document.createRange();
            range.setStart(node, start);
            range.setEnd(node, start + 1);
            return range.getBoundingClientRect().left;
        });
    }""")
    assert before < last


def test_the_admin_is_used_by_keyboard(site: Site, admin: Page, david: App, ben: App) -> None:
    sent = david.send(ben, "a rude word")
    admin.goto(f"{site.messages}?q={sent['id']}")
    press(admin, admin.locator("#result_list .field-id a"))
    press(admin, admin.get_by_role("button", name="Delete for both users"))
    press(admin, admin.get_by_role("button", name="Yes, delete"))
    expect(admin.get_by_text("It is deleted.")).to_be_visible()
    assert "a rude word" not in texts(ben.page(david))
    admin.goto(site.conversation("carla", "david"))
    expect(admin.locator(".ossn-conversation > li")).to_have_count(SIZE)
    press(admin, admin.get_by_role("link", name="Older"))
    expect(admin.locator(".ossn-conversation > li")).to_have_count(LONG - SIZE)


def press(page: Page, target: Locator) -> None:
    """Go from the top of the page to a link or button by Tab, see that it is there, and press Enter."""
    expect(target).to_be_visible()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            break
    else:
        pytest.fail(f"{target} is not reached")
    focused = look_at(target)
    target.evaluate("element => element.blur()")
    assert look_at(target) != focused, f"{target} does not show that it has the focus"
    target.focus()
    page.keyboard.press("Enter")
    page.wait_for_load_state()


def look_at(target: Locator) -> bytes:
    """Return a picture of an element and what is around it."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    clip = {"x": box["x"] - 6, "y": box["y"] - 6, "width": box["width"] + 12, "height": box["height"] + 12}
    return target.page.screenshot(clip=clip, animations="disabled")  # type: ignore[arg-type]


PICTURES = ("conversation.png", "messages.png", "swagger.png")


def test_the_pictures_of_the_manual_can_be_made(
    site: Site, browser: Browser, login: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = Path(request.config.getoption("--pictures") or tmp_path)
    timetable = tmp_path / "timetable.pdf"
    timetable.write_bytes(PDF)
    with window(browser, storage_state=login, viewport={"width": 1200, "height": 900}) as page:
        page.goto(site.conversation("anna", "ben"))
        page.locator("#toggle-nav-sidebar").click()
        wait_for_picture(page.get_by_role("img", name="lake.jpg"))
        page.locator("#header").scroll_into_view_if_needed()
        page.screenshot(path=folder / "conversation.png")
        page.goto(f"{site.messages}?q=anna")
        wait_for_picture(page.get_by_role("img", name="lake.jpg"))
        page.screenshot(path=folder / "messages.png")
        send_from_swagger(page, site, site.key, "Are these the trains?", timetable)
        page.set_viewport_size({"width": 1200, "height": 1000})
        form = page.locator("#operations-Messages-sendMessage")
        form.locator(".opblock-summary").evaluate("element => element.scrollIntoView()")
        end = form.locator(".responses-wrapper").bounding_box()
        assert end is not None
        page.screenshot(path=folder / "swagger.png", clip={"x": 0, "y": 0, "width": 1200, "height": end["y"]})
    assert_pictures_are_good(folder)


def assert_pictures_are_good(folder: Path) -> None:
    for name in PICTURES:
        assert (folder / name).stat().st_size < LARGEST, name
        with Image.open(folder / name) as picture:
            assert picture.width == 1200


def test_the_manual_has_its_pictures() -> None:
    assert_pictures_are_good(ROOT / "docs")
    shown = {(ROOT / page).parent / path for page, text in pages().items() for path in PICTURE.findall(text)}
    assert {path.resolve() for path in shown} == {ROOT / "docs" / name for name in PICTURES}
    assert {file.name for file in (ROOT / "docs").glob("*.png")} == set(PICTURES)
