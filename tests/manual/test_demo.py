"""The demo, started as a newcomer starts it: what it prints, works."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.support.demo import SECONDS, demo, manage
from tests.support.files import PDF
from tests.support.storage import files_in

pytestmark = pytest.mark.system


def curl(printed: str) -> dict[str, object]:
    """Paste the printed command into a shell and return the answer."""
    command = printed[printed.index("curl ") : printed.index("\n\n", printed.index("curl "))]
    done = subprocess.run(
        ["sh", "-c", command.replace("curl ", "curl -sS ", 1)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


needs_curl = pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not installed")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


@needs_curl
def test_the_printed_command_works_when_pasted(tmp_path: Path, taken_port: int) -> None:
    with demo(tmp_path, "--port", str(taken_port)) as printed:
        assert f"Port {taken_port} is taken; using " in printed
        answer = curl(printed)
        assert (answer["code"], answer["message"]) == ("100", "Request successfully executed")
        payload = answer["payload"]
        assert isinstance(payload, dict)
        names = [(payload[side]["username"], payload[side]["fullname"]) for side in ("message_from", "message_to")]
        assert names == [("arsalanshah", "Arsalan Shah"), ("testuser", "Some Name")]
        assert payload["attachment_name"] == "dummy.pdf"
        with urllib.request.urlopen(payload["attachment_url"], timeout=SECONDS) as response:
            assert response.read() == (tmp_path / "dummy.pdf").read_bytes()
        (admin,) = re.findall(r"http://\S+/admin/", printed)
        with urllib.request.urlopen(admin, timeout=SECONDS) as response:
            assert response.geturl().startswith(f"{admin}login/")
            stylesheet = re.search(r'href="(/static/admin/css/base\S*\.css)"', response.read().decode())
        assert stylesheet
        with urllib.request.urlopen(admin.replace("/admin/", stylesheet[1]), timeout=SECONDS) as response:
            assert response.headers.get_content_type() == "text/css"


def test_the_apis_own_pages_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as printed:
        pages = re.findall(r"http://\S+/api/(?:docs|redoc)/", printed)
        assert len(pages) == 2
        for page in pages:
            with urllib.request.urlopen(page, timeout=SECONDS) as response:
                text = response.read().decode()
            loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
            assert any(path.endswith(".js") for path in loaded)
            for path in loaded:
                with urllib.request.urlopen(urljoin(page, path), timeout=SECONDS) as response:
                    assert response.geturl().startswith(page.partition("/api/")[0]), path
        (schema,) = re.findall(r"http://\S+/api/schema/", printed)
        with urllib.request.urlopen(schema, timeout=SECONDS) as response:
            assert b"/api/v2.0/message/send:" in response.read()


@needs_curl
def test_started_again_it_has_the_same_users_and_messages(tmp_path: Path) -> None:
    numbers = []
    for _ in range(2):
        with demo(tmp_path, "--port", "0") as printed:
            payload = curl(printed)["payload"]
            assert isinstance(payload, dict)
            numbers.append((payload["message_from"]["guid"], payload["message_to"]["guid"], payload["id"]))
    assert numbers == [(1, 2, 1), (1, 2, 2)]


def test_fifty_clients_at_once_with_one_idempotency_key(tmp_path: Path) -> None:
    """On a real file of SQLite: one message and one file, and nobody is told of another."""
    clients = 50
    start = threading.Barrier(clients)
    with demo(tmp_path, "--port", "0") as printed:
        (url,) = re.findall(r"curl (http://\S+)", printed)
        (key,) = re.findall(r"api_key_token=(\S+)", printed)
        fields = {"from": "1", "to": "2", "message": "Test", "attachment": SimpleUploadedFile("a.pdf", PDF)}
        body = encode_multipart(BOUNDARY, fields)
        headers = {"Authorization": f"Api-Key {key}", "Idempotency-Key": "one", "Content-Type": MULTIPART_CONTENT}

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
    with demo(tmp_path, "--port", "0") as printed:
        (host, port), *_others = set(re.findall(r"http://([\d.]+):(\d+)", printed))
        assert host == "127.0.0.1"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", int(port)), timeout=SECONDS)


def test_a_check_for_deployment_has_nothing_to_say_of_the_app(tmp_path: Path) -> None:
    """Of the demo's own settings Django may say what it will."""
    done = manage(tmp_path, "check", "--deploy")
    assert "(security.W" in done.stderr, "it was asked for"
    assert "ossn_messaging" not in done.stdout + done.stderr
