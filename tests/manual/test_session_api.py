"""The page and the script of docs/howto/session-api.md in a real browser, for a member who is logged in."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.middleware.csrf import get_token
from django.template import engines
from django.test import Client, RequestFactory
from playwright.sync_api import expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from ossn_messaging.models import Message
from tests.support.browser import chromium, window
from tests.support.files import SAMPLES
from tests.support.readme import claimed

pytestmark = pytest.mark.system

PAGE = claimed("templates/write.html", page="docs/howto/session-api.md")
SCRIPT = claimed("js", page="docs/howto/session-api.md")


def test_a_member_writes_from_a_page(
    sender: User, recipient: User, live_server: LiveServer, settings: Settings, tmp_path: Path
) -> None:
    settings.OSSN_MESSAGING = {"SESSION_API": True}
    (page_of_the_manual,), (script,) = PAGE, SCRIPT
    Message.objects.send(sender=recipient, recipient=sender, text="Good morning")
    client, request = Client(), RequestFactory().get("/")
    client.force_login(sender)
    request.user = sender
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": get_token(request)}
    cookies["csrftoken"] = request.META["CSRF_COOKIE"]
    html = engines["django"].from_string(page_of_the_manual.text).render({"other": recipient}, request)
    photo = tmp_path / "photo.png"
    photo.write_bytes(SAMPLES["photo.png"])
    with chromium() as browser, window(browser) as page:
        page.context.add_cookies([{"name": k, "value": v, "url": live_server.url} for k, v in cookies.items()])
        page.route("**/write/", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.route("**/write.js", lambda route: route.fulfill(body=script.text, content_type="text/javascript"))
        page.goto(f"{live_server.url}/write/")
        expect(page.get_by_text("1 unread")).to_be_visible()
        page.get_by_label("Message").fill("Hello")
        page.get_by_label("File").set_input_files(photo)
        page.get_by_role("button", name="Send").click()
        output = page.locator("output")
        expect(output).to_contain_text("was sent")
        first = output.inner_text()
        page.get_by_label("Message").fill("Without a file")
        page.get_by_role("button", name="Send").click()
        expect(output).not_to_have_text(first)
        expect(output).to_contain_text("was sent")
        page.context.clear_cookies(name="sessionid")
        page.get_by_label("Message").fill("Too late")
        page.get_by_role("button", name="Send").click()
        expect(output).to_have_text("The API key is missing or not valid")
    with_file, without = Message.objects.filter(sender=sender, recipient=recipient).order_by("pk")
    assert (with_file.text, with_file.attachment.name, without.text) == ("Hello", "photo.png", "Without a file")
    assert not hasattr(without, "attachment")
