"""The demo, started as a newcomer starts it: what it prints, works."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.support.demo import SECONDS, Demo, demo, manage
from tests.support.files import PDF
from tests.support.servers import wait_until
from tests.support.storage import files_in

pytestmark = pytest.mark.system

PRINT_USERS = """
from django.contrib.auth.models import User
print(*User.objects.values_list("username", flat=True).order_by("pk"))
"""


def keys_of(data_dir: Path) -> list[dict[str, Any]]:
    """Return all API keys of the demo, those that are revoked too."""
    keys: list[dict[str, Any]] = json.loads(manage(data_dir, "ossn_apikey", "list", "--all", "--json").stdout)
    return keys


def paste(command: str) -> dict[str, Any]:
    """Paste a printed command into a shell, and return the answer."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.stdout == json.dumps(answer, indent=4) + "\n", "it can be read"
    assert (answer["code"], answer["message"]) == ("100", "Request successfully executed")
    payload: dict[str, Any] = answer["payload"]
    return payload


def fetch(url: str, form: dict[str, str] | None = None, opener: urllib.request.OpenerDirector | None = None) -> str:
    """Return a page of the demo, or its answer to a form."""
    body = urlencode(form).encode() if form else None
    with (opener or urllib.request.build_opener()).open(url, body, timeout=SECONDS) as response:
        return str(response.read().decode("latin-1"))


def log_in(site: Demo, name: str) -> urllib.request.OpenerDirector:
    """Log in at the demo's front page by a login that it prints, and return the browser with its cookies."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', fetch(site.url, opener=browser))
    page = fetch(site.url, {"csrfmiddlewaretoken": token, "username": name, "password": name}, browser)
    assert "Log out" in page
    return browser


needs_curl = pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not installed")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


@needs_curl
def test_the_printed_commands_work_when_pasted(tmp_path: Path, taken_port: int) -> None:
    with demo(tmp_path, "--port", str(taken_port)) as site:
        assert f"Port {taken_port} is taken; using " in site.printed
        sent, read, answer = map(paste, site.commands)
        names = [(sent[side]["username"], sent[side]["fullname"]) for side in ("message_from", "message_to")]
        assert names == [("arsalanshah", "Arsalan Shah"), ("testuser", "Some Name")]
        assert sent["attachment_name"] == "dummy.pdf"
        with urllib.request.urlopen(sent["attachment_url"], timeout=SECONDS) as response:
            assert response.read() == (tmp_path / "dummy.pdf").read_bytes()
        assert [message["id"] for message in read["list"]] == [sent["id"]]
        assert read["withuser"] == sent["message_from"] | {"icon": read["withuser"]["icon"], "is_online": False}
        assert (answer["message_from"], answer["message_to"]) == (sent["message_to"], sent["message_from"])
        (again, _answer) = paste(site.commands[1])["list"]
        assert (read["list"][0]["viewed"], again["viewed"]) == ("0", "1"), "who reads it has read it"


def test_the_front_page_leads_everywhere(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        links = re.findall(r'<a href="([^"]+)"', fetch(site.url))
        assert links == ["/admin/", "/api/docs/", "/api/redoc/", "/api/schema/"]
        for link in links:
            fetch(site.url + link)
        (stylesheet,) = re.findall(r'href="(/static/admin/css/base\S*\.css)"', fetch(f"{site.url}/admin/"))
        with urllib.request.urlopen(site.url + stylesheet, timeout=SECONDS) as response:
            assert response.headers.get_content_type() == "text/css"


@needs_curl
def test_every_user_can_log_in(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        sent = paste(site.commands[0])
        file = sent["attachment_url"].partition("?")[0]
        for name in (sent["message_from"]["username"], sent["message_to"]["username"]):
            assert name in fetch(site.url)
            browser = log_in(site, name)
            page = fetch(site.url, opener=browser)
            assert "<p>Test</p>" in page
            assert f'href="{urlsplit(file).path}"' in page
            assert fetch(file, opener=browser).startswith("%PDF")
            (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            assert "<h2>Log in</h2>" in fetch(f"{site.url}/logout/", {"csrfmiddlewaretoken": token}, browser)
            with pytest.raises(HTTPError, match="404") as caught:
                fetch(file, opener=browser)
            caught.value.close()
        browser = log_in(site, "admin")
        assert "There are no messages yet" in fetch(site.url, opener=browser)
        assert "Site administration" in fetch(f"{site.url}/admin/", opener=browser)


def test_requests_are_shown_without_keys(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        fetch(f"{site.url}/?api_key_token={site.key}&from=1")
        wait_until(site.requests)
        (line,) = site.requests()
    assert '"GET /?api_key_token=********&from=1 HTTP/1.1" 200 ' in line


def test_the_apis_own_pages_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        for page in (f"{site.url}/api/docs/", f"{site.url}/api/redoc/"):
            loaded = re.findall(r'(?:src|href)="([^"]+)"', fetch(page))
            assert any(path.endswith(".js") for path in loaded)
            for path in loaded:
                with urllib.request.urlopen(urljoin(page, path), timeout=SECONDS) as response:
                    assert response.geturl().startswith(site.url), path
        assert "/api/v2.0/message/send:" in fetch(f"{site.url}/api/schema/")


@needs_curl
def test_started_again_it_has_the_same_users_messages_and_key(tmp_path: Path) -> None:
    ids, keys = [], []
    for _ in range(2):
        with demo(tmp_path, "--port", "0") as site:
            sent = paste(site.commands[0])
            ids.append((sent["message_from"]["guid"], sent["message_to"]["guid"], sent["id"]))
            keys.append(site.key)
            assert f"To start afresh, stop the demo and delete this folder: rm -r {tmp_path}\n" in site.printed
    assert ids == [(1, 2, 1), (1, 2, 2)]
    assert keys[0] == keys[1]
    assert [key["name"] for key in keys_of(tmp_path)] == ["demo"]
    names = manage(tmp_path, "shell", "-v0", "-c", PRINT_USERS).stdout.split()
    assert names == ["arsalanshah", "testuser", "admin"]


def test_the_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        files = [file for file in files_in(tmp_path) if site.key.encode() in file.read_bytes()]
    assert [file.name for file in files] == ["api_key", "console.log"], "the test keeps what it prints"
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def revoke(data_dir: Path) -> None:
    manage(data_dir, "ossn_apikey", "revoke", "demo")


def lose(data_dir: Path) -> None:
    (data_dir / "api_key").unlink()


@needs_curl
@pytest.mark.parametrize("happen", [revoke, lose])
def test_a_key_that_is_revoked_or_lost_is_replaced(tmp_path: Path, happen: Callable[[Path], None]) -> None:
    with demo(tmp_path, "--port", "0") as before:
        pass
    happen(tmp_path)
    with demo(tmp_path, "--port", "0") as site:
        assert site.key != before.key
        paste(site.commands[0])
    assert sorted(key["active"] for key in keys_of(tmp_path)) == [False, True]


def test_fifty_clients_at_once_with_one_idempotency_key(tmp_path: Path) -> None:
    """On a real file of SQLite: one message and one file, and nobody is told of another."""
    clients = 50
    start = threading.Barrier(clients)
    with demo(tmp_path, "--port", "0") as site:
        url = f"{site.url}/api/v2.0/message/send"
        fields = {"from": "1", "to": "2", "message": "Test", "attachment": SimpleUploadedFile("a.pdf", PDF)}
        body = encode_multipart(BOUNDARY, fields)
        headers = {"Authorization": f"Api-Key {site.key}", "Idempotency-Key": "one", "Content-Type": MULTIPART_CONTENT}

        def send(_number: int) -> tuple[str, str | None, object]:
            start.wait()
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                answer = json.load(response)
                return answer["code"], response.headers["Idempotent-Replayed"], answer["payload"]["id"]

        with ThreadPoolExecutor(clients) as pool:
            answers = sorted(pool.map(send, range(clients)), key=lambda answer: answer[1] or "")
    assert answers == [("100", None, 1), *[("100", "true", 1)] * (clients - 1)]
    assert [file.read_bytes() for file in files_in(tmp_path / "attachments")] == [PDF]


def test_it_listens_on_loopback_alone(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        parts = urlsplit(site.url)
        assert parts.hostname == "127.0.0.1"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", parts.port or 0), timeout=SECONDS)


def test_a_check_for_deployment_has_nothing_to_say_of_the_app(tmp_path: Path) -> None:
    """Of the demo's own settings Django may say what it will."""
    done = manage(tmp_path, "check", "--deploy")
    assert "(security.W" in done.stderr, "it was asked for"
    assert "ossn_messaging" not in done.stdout + done.stderr
