"""The pages of the admin under other themes, in a real browser: what staff do there, works there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.manual.test_browser import wait_for_picture
from tests.support.browser import Site, live_site, window
from tests.support.client import App, texts

pytestmark = pytest.mark.system

WIDTHS = (390, 1280, 1920)


@pytest.fixture(scope="module", params=["django", "unfold", "jazzmin"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = () if request.param == "django" else ("--settings", f"tests.admin.{request.param}_site")
    with live_site(tmp_path_factory.mktemp(request.param), *settings) as site:
        yield site


@pytest.fixture
def admin(browser: Browser, login: Any) -> Iterator[Page]:
    with window(browser, storage_state=login, viewport={"width": 1280, "height": 900}) as page:
        yield page


def is_cut_off(target: Locator) -> bool:
    """Return whether an element ends outside of the window, or of a box that hides what overflows."""
    cut_off: bool = target.evaluate("""element => {
        const {left, right} = element.getBoundingClientRect();
        for (let box = element.parentElement; box; box = box.parentElement) {
            const {left: start, right: end} = box.getBoundingClientRect();
            if (getComputedStyle(box).overflowX !== "visible" && (left < start - 1 || right > end + 1)) return true;
        }
        return left < 0 || right > innerWidth;
    }""")
    return cut_off


def add_key(page: Page, site: Site, name: str) -> str:
    """Add a key for one user in the admin, and return its text."""
    page.goto(f"{site.keys}add/")
    page.locator("#id_name").fill(name)
    page.locator(".field-users .select2-selection").first.click()
    page.locator(".select2-results__option", has_text="carla").click()
    page.locator("[name=_save]").first.click()
    return page.locator("#api-key").inner_text()


def open_key(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.keys}?state=active")
    page.locator("#result_list").get_by_role("link", name=name).first.click()
    expect(page.locator("#id_name")).to_have_value(name)


def test_a_list_shows_all_of_its_columns(site: Site, admin: Page) -> None:
    for path, wanted in (
        (f"{site.messages}?q=anna", ("field-conversation", "field-content", "field-created_at", "field-state")),
        (site.keys, ("field-acts_as", "field-created_at", "field-state", "field-last_used_at")),
    ):
        admin.goto(path)
        for name in wanted:
            assert not is_cut_off(admin.locator(f"#result_list .{name}").first), f"{path} {name}"


def test_a_message_is_found_and_moderated_away(site: Site, admin: Page, david: App, ben: App) -> None:
    sent = david.send(ben, "an insult", "photo.png")
    admin.goto(f"{site.messages}?q=david")
    row = admin.locator("#result_list tr", has_text="an insult").first
    row.get_by_role("link", name="david to ben").click()
    message = admin.locator(f"#message-{sent['id']}")
    expect(message).to_be_in_viewport()
    expect(admin.get_by_role("heading", name=re.compile("^(david and ben|ben and david)$"))).to_be_visible()
    wait_for_picture(message.get_by_role("img", name="photo.png"))
    message.locator("time").click()
    admin.get_by_role("button", name="Delete for both users").click()
    expect(admin.get_by_text("an insult")).to_be_visible()
    assert "an insult" in texts(ben.page(david))
    admin.get_by_role("button", name="Yes, delete").click()
    expect(admin.get_by_text("It is deleted.")).to_be_visible()
    assert "an insult" not in texts(ben.page(david))


def test_several_users_are_offered(site: Site, admin: Page) -> None:
    admin.goto(f"{site.messages}?q=a")
    admin.get_by_role("link", name="anna", exact=True).click()
    expect(admin.locator("#result_list")).to_be_visible()
    admin.goto(f"{site.messages}?q=anna+ben")
    expect(admin.get_by_role("heading", name="anna and ben")).to_be_visible()


def test_a_page_of_the_list_leads_to_the_next(site: Site, admin: Page) -> None:
    admin.goto(f"{site.messages}?q=david")
    admin.get_by_role("link", name="Older").click()
    expect(admin.get_by_role("link", name="Newer")).to_be_visible()


def test_a_key_is_added_rotated_and_revoked(site: Site, admin: Page) -> None:
    def works(key: str) -> bool:
        carla = site.people["carla"]
        answer = App(site.url, key, carla).ask("v2.0/message/unread", guid=carla)
        return bool(answer["code"] == "100")

    key = add_key(admin, site, "the shop")
    assert works(key)
    open_key(admin, site, "the shop")
    expect(admin.locator("#id_users option:checked")).to_have_text("carla")
    admin.get_by_role("button", name="Rotate").click()
    admin.locator("[name=days]").fill("0")
    admin.get_by_role("button", name="Rotate").click()
    successor = admin.locator("#api-key").inner_text()
    assert not works(key)
    assert works(successor)
    open_key(admin, site, "the shop")
    admin.get_by_role("button", name="Revoke").click()
    admin.get_by_role("button", name="Yes, revoke").click()
    expect(admin.get_by_text("1 key was revoked.")).to_be_visible()
    assert not works(successor)


def test_the_page_of_a_user_leads_to_their_messages(site: Site, admin: Page) -> None:
    admin.goto(f"{site.url}/admin/auth/user/{site.people['anna']}/change/")
    admin.locator("a[href*='message/?q=anna']").click()
    expect(admin.locator("#result_list .field-conversation").first).to_contain_text("anna")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_window(site: Site, browser: Browser, login: Any, scheme: Any) -> None:
    with window(browser, storage_state=login, color_scheme=scheme) as page:

        def look(path: str, at: str) -> None:
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                response = page.goto(path)
                assert response
                assert response.status == 200, path
                assert not is_cut_off(page.locator(at).first), f"{path} {width}"
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} {width}"

        look(f"{site.messages}?q=anna", "#result_list .field-id")
        look(site.conversation("anna", "ben"), ".ossn-conversation .ossn-picture")
        look(f"{site.keys}add/", ".field-users .select2-selection")
        page.goto(f"{site.messages}?q=anna")
        look(str(page.locator("#result_list .field-id a").first.evaluate("link => link.href")), ".ossn-danger")
