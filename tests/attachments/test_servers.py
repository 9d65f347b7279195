"""Inspections under the servers that a site may have, and what is left when their processes end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tests.attachments.hostile import FILES
from tests.live.load import Answer, Connection, post
from tests.support.files import SAMPLES
from tests.support.servers import HOST, SECONDS, free_port, plain_environment, running, wait_until

pytestmark = pytest.mark.system

PREPARE = """
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from ossn_messaging.models import APIKey
call_command("migrate", verbosity=0)
for name in "anna", "ben":
    User.objects.create_user(name)
print(APIKey.objects.create_key("the clients")[1])
"""
CLIENTS = 64
SLOW = "JPEG, CMYK, progressive, turned"
"""Its inspection takes all of its processor time."""


@dataclass(frozen=True)
class Site:
    """A site under a server, which is the leader of a group of processes."""

    port: int
    key: str
    process: "subprocess.Popen[bytes]"
    uploads: Path

    def ask(self, name: str, content: bytes) -> Answer:
        fields = {"from": 1, "to": 2, "message": "Test", "attachment": ContentFile(content, name)}
        connection = Connection(self.port)
        try:
            return connection.ask(post("/api/v2.0/message/send", api_key_token=self.key, **fields))
        finally:
            connection.close()

    def send(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ask(name, SAMPLES[name]).body)
        return answer

    def descendants(self, pid: int | None = None) -> dict[int, str]:
        """Return the processes below the server, or below another of its processes, by their command lines."""
        found: dict[int, str] = {}
        for children in Path(f"/proc/{pid or self.process.pid}/task").glob("*/children"):
            with suppress(OSError):
                for child in map(int, children.read_text().split()):
                    found[child] = Path(f"/proc/{child}/cmdline").read_text()
                    found |= self.descendants(child)
        return found

    def inspecting(self) -> list[int]:
        """Return the inspection servers and their children."""
        return [pid for pid, command in self.descendants().items() if "inspection_server" in command]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Make the database of a site with two users, and return its folder and a key."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-c", PREPARE], env=environment(folder), capture_output=True, check=True)
    return folder, done.stdout.decode().strip()


def environment(folder: Path, **settings: Any) -> dict[str, str]:
    return plain_environment(
        DJANGO_SETTINGS_MODULE="tests.live.settings",
        DATA_DIR=str(folder),
        FILE_UPLOAD_TEMP_DIR=str(folder),
        OSSN_MESSAGING=json.dumps(settings),
    )


@contextmanager
def serving(command: Sequence[str], prepared: tuple[Path, str], folder: Path, **settings: Any) -> Iterator[Site]:
    source, key = prepared
    copy(source / "db.sqlite3", folder)
    port = free_port()
    program = [sys.executable, "-m", *(part.format(port=port) for part in command)]
    with (
        (folder / "log").open("wb") as log,
        running(
            program, port, env=environment(folder, **settings), stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            yield Site(port, key, process, folder)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def gunicorn(*options: str) -> tuple[str, ...]:
    application = "django.core.wsgi:get_wsgi_application()"
    return "gunicorn", f"--bind={HOST}:{{port}}", "--no-control-socket", "--workers=2", *options, application


GTHREAD = gunicorn("--worker-class=gthread", "--threads=32")
UVICORN = ("uvicorn", "--factory", f"--host={HOST}", "--port={port}", "django.core.asgi:get_asgi_application")
SERVERS = {
    "sync": gunicorn(),
    "gthread": GTHREAD,
    "gevent": gunicorn("--worker-class=gevent"),
    "preload": gunicorn("--worker-class=gthread", "--threads=4", "--preload"),
    "max_requests": gunicorn("--max-requests=25"),
    "uvicorn": UVICORN,
    "runserver": ("django", "runserver", f"{HOST}:{{port}}"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_many_clients(name: str, prepared: tuple[Path, str], tmp_path: Path) -> None:
    with serving(SERVERS[name], prepared, tmp_path) as site, ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(site.send, ["dummy.pdf", "photo.png"] * (CLIENTS // 2)))
        assert {answer["code"] for answer in answers} == {"100"}, answers
        assert {answer["payload"]["type_of_attachment"] for answer in answers} == {"file", "image"}
        servers = site.inspecting()
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(SECONDS)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", ["gthread", "uvicorn"])
def test_a_worker_that_ends_within_an_inspection_leaves_nothing(
    name: str, number: signal.Signals, prepared: tuple[Path, str], tmp_path: Path
) -> None:
    with (
        serving(SERVERS[name], prepared, tmp_path, INSPECTION_PROCESSOR_SECONDS=1) as site,
        ThreadPoolExecutor(1) as client,
    ):
        file_name, build = FILES[SLOW]
        asked = client.submit(site.ask, file_name, build())
        wait_until(lambda: len(site.inspecting()) == 2)
        inspecting = site.inspecting()
        os.killpg(site.process.pid, number)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inspecting))
        if number == signal.SIGTERM:
            assert json.loads(asked.result().body)["code"] == "200", "it was answered before the worker ended"
        else:
            assert isinstance(asked.exception(), OSError)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_runserver_that_reloads(prepared: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "reloaded_settings.py"
    settings.write_text("from tests.live.settings import *\n")
    command = (*SERVERS["runserver"], f"--pythonpath={tmp_path}", "--settings=reloaded_settings")
    with serving(command, prepared, tmp_path) as site:
        assert site.send("dummy.pdf")["code"] == "100"
        before = site.inspecting()
        assert before
        later = settings.stat().st_mtime + 1
        os.utime(settings, (later, later))
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))

        def is_back() -> bool:
            with suppress(OSError):
                return bool(site.send("dummy.pdf")["code"] == "100")
            return False

        wait_until(is_back)
