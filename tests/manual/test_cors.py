"""The manual's CORS settings in a real browser: a page on one port sends to the API on another."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings
from django.core.cache import cache
from playwright.sync_api import Error, Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.support.api import API, SEND
from tests.support.browser import chromium, window
from tests.support.files import SAMPLES
from tests.support.readme import the_block
from tests.support.servers import HOST

pytestmark = pytest.mark.system

FETCH = """async ([url, headers, fields, file]) => {
    let body = fields && JSON.stringify(fields);
    if (file.length) {
        body = new FormData();
        Object.entries(fields).forEach(([name, value]) => body.append(name, value));
        body.append("attachment", new Blob([new Uint8Array(file)]), "photo.png");
    } else if (fields) {
        headers["Content-Type"] = "application/json";
    }
    const answer = await fetch(url, {method: fields ? "POST" : "GET", headers, body});
    return {
        status: answer.status,
        text: await answer.text(),
        replayed: answer.headers.get("Idempotent-Replayed"),
        retryAfter: answer.headers.get("Retry-After"),
    };
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Write nothing."""


@contextmanager
def origin(folder: Path) -> Iterator[str]:
    """Serve an empty page on a port of its own, and yield its origin."""
    (folder / "index.html").write_text("<!DOCTYPE html><title>A page</title>")
    with ThreadingHTTPServer((HOST, 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def following_the_manual(settings: Settings, allowed: str) -> Iterator[str]:
    """Serve a site with the manual's settings for a page, and yield its URL."""
    # zeal patches Django's querysets when it gets ready, and must not do so twice.
    apps = [app for app in settings.INSTALLED_APPS if app != "zeal"]
    names: dict[str, Any] = {"INSTALLED_APPS": apps, "MIDDLEWARE": settings.MIDDLEWARE}
    block = the_block("INSTALLED_APPS", "corsheaders")
    exec(block.replace("# ...", "*INSTALLED_APPS,").replace("https://app.example.com", allowed), names)
    for name in filter(str.isupper, names):
        assert name.startswith("CORS_") or hasattr(global_settings, name)
        setattr(settings, name, names[name])
    settings.ALLOWED_HOSTS = [HOST]
    server = LiveServer(HOST)
    try:
        yield server.url
    finally:
        server.stop()


def ask(page: Page, url: str, headers: dict[str, str], fields: Any = None, file: bytes = b"") -> Any:
    """Let a page send to a URL by ``fetch()``. Without fields it is a GET."""
    return page.evaluate(FETCH, [url, headers, fields, list(file)])


def test_a_page_of_an_allowed_origin_and_of_another(api: API, settings: Settings, tmp_path: Path) -> None:
    cache.clear()
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": {"key": "3/day"}}
    key = {"Authorization": f"Api-Key {api.key}"}
    once = {**key, "Idempotency-Key": "1"}
    fields = api.fields(api_key_token=None)
    with (
        origin(tmp_path) as allowed,
        origin(tmp_path) as other,
        following_the_manual(settings, allowed) as site,
        chromium() as browser,
        window(browser) as page,
    ):
        page.goto(other)
        with pytest.raises(Error, match="Failed to fetch"):
            ask(page, f"{site}{SEND}", once, fields)
        with pytest.raises(Error, match="Failed to fetch"):
            ask(page, f"{site}{SEND}?api_key_token=wrong", {})
        page.goto(allowed)
        first = ask(page, f"{site}{SEND}", once, fields)
        assert (sent(first)["message"], first["replayed"]) == ("Test", None)
        again = ask(page, f"{site}{SEND}", once, fields)
        assert (sent(again)["id"], again["replayed"]) == (sent(first)["id"], "true")
        with_file = ask(page, f"{site}{SEND}", key, fields, SAMPLES["photo.png"])
        assert sent(with_file)["attachment_name"] == "photo.png"
        refused = ask(page, f"{site}{SEND}", key, fields)
        assert refused["status"] == 429
        assert int(refused["retryAfter"]) > 0
        with pytest.raises(Error, match="Failed to fetch"):
            ask(page, f"{site}/admin/login/", {})


def sent(answer: Any) -> Any:
    """Return the message that an answer tells of."""
    return json.loads(answer["text"])["payload"]
