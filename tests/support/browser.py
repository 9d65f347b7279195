"""Debian's chromium and a live demo for it, in which people have written to each other."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support import ROOT
from tests.support.demo import demo
from tests.support.servers import absent, plain_environment

SECONDS = 30
"""How long a page may take to show something."""
LIFETIME = 600
"""How long a demo may be used, in seconds."""

expect.set_options(timeout=SECONDS * 1000)


@dataclass(frozen=True)
class Site:
    url: str
    key: str
    people: dict[str, int]
    """Their ids, by their names."""

    @property
    def messages(self) -> str:
        return f"{self.url}/admin/ossn_messaging/message/"

    @property
    def keys(self) -> str:
        return f"{self.url}/admin/ossn_messaging/apikey/"

    def conversation(self, one: str, other: str) -> str:
        return f"{self.messages}conversation/{self.people[one]}/{self.people[other]}/"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it, without its sandbox, which root can't have."""
    program = shutil.which("chromium")
    if program is None:
        absent("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def live_site(data_dir: Path, *arguments: str) -> Iterator[Site]:
    """Start a demo, and let people write to each other."""
    with demo(data_dir, "--port", "0", *arguments, seconds=LIFETIME) as started:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.conversation"],
            cwd=ROOT,
            env=plain_environment(DATA_DIR=str(data_dir)),
            stdout=subprocess.PIPE,
            check=True,
        )
        yield Site(started.url, started.key, json.loads(done.stdout))


@contextmanager
def window(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a window that has nothing in common with any other: no cookies, unless ``storage_state`` brings them."""
    with browser.new_context(**options) as context:
        context.set_default_timeout(SECONDS * 1000)
        yield context.new_page()


def log_in(page: Page, site: Site, name: str) -> None:
    """Log in to the admin; whoever may do that has their name as their password."""
    page.goto(f"{site.url}/admin/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(name)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{site.url}/admin/")


def send_from_swagger(page: Page, site: Site, key: str, text: str, file: Path) -> None:
    """Send a message with a file from the page that Swagger UI makes of the API, and wait for the answer."""
    page.goto(f"{site.url}/api/docs/")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".modal-ux input").first.fill(f"Api-Key {key}")
    page.get_by_role("button", name="Apply credentials").first.click()
    page.locator(".modal-ux").get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-Messages-sendMessage")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input[placeholder=message]").fill(text)
    operation.locator("input[type=file]").set_input_files(file)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .highlight-code").first
    expect(answer).to_contain_text('"code": "100"')
