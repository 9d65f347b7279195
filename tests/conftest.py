import json
import logging
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.dispatch import Signal
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.views.debug import ExceptionReporter
from pytest_django import Settings

from ossn_messaging.models import APIKey
from ossn_messaging.models.api_keys import APIKeyManager
from ossn_messaging.signals import message_sent
from tests.files import SAMPLES
from tests.servers import SECONDS, S3Server, s3_server

ROOT = Path(__file__).resolve().parent.parent
SEND = "/api/v2.0/message/send"
ENVELOPE_KEYS = ["merchant", "url", "time_token", "payload", "code", "message"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="FOLDER", help="write the pictures of the README into this folder")


everywhere = pytest.mark.parametrize("where", ["disk", "S3"], indirect=True)
"""Lets a test run on each of the app's storages."""


@pytest.fixture
def where(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "disk"))


@pytest.fixture(scope="session")
def s3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="session")
def s3(s3_folder: Path) -> Iterator[S3Server]:
    with s3_server(s3_folder) as server:
        yield server


@pytest.fixture
def bucket(request: pytest.FixtureRequest, s3: S3Server, s3_folder: Path) -> Path:
    """The folder behind a bucket of this test's own."""
    folder = s3_folder / f"bucket-{uuid.uuid4()}"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def attachments_folder(request: pytest.FixtureRequest, settings: Settings, where: str, tmp_path: Path) -> Path:
    """Where the attachments of this test are."""
    settings.BASE_DIR = tmp_path
    if where == "disk":
        return tmp_path / "ossn_attachments" / "attachment"
    bucket: Path = request.getfixturevalue("bucket")
    keep_attachments_in_s3(settings, request.getfixturevalue("s3"), bucket)
    return bucket / "attachment"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app as it is installed, built from the checkout as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=source, check=True)
    (built,) = folder.glob("*.whl")
    return built


OWN_KEY = re.compile(r"ossn_(?=[a-z0-9_-]{0,42}[A-Z])[A-Za-z0-9_-]{43}")


class Secrets:
    """What no log and no mail may have: every key of the app's own, and those that the test imported."""

    def __init__(self) -> None:
        self.others: set[str] = set()

    def shown_in(self, text: str) -> set[str]:
        return {found[0] for found in OWN_KEY.finditer(text)} | {key for key in self.others if key in text}


def shown_by(record: logging.LogRecord) -> str:
    """Return all that a handler may write of a record, once it has passed its logger's filters."""
    return f"{record.msg}\n{record.args}\n{logging.Formatter().format(record)}"


def shown_by_mail(message: Any) -> str:
    return "\n".join([message.subject, message.body, *(str(part[0]) for part in getattr(message, "alternatives", ()))])


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """Look for keys in every log record and mail that the test causes."""
    secrets, records = Secrets(), list[logging.LogRecord]()
    make, import_key = logging.getLogRecordFactory(), APIKeyManager.import_key

    def note_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        records.append(record)
        return record

    def note_key(self: APIKeyManager, name: str, key: str, *args: Any, **kwargs: Any) -> APIKey:
        secrets.others |= {key} if key.strip() else set()
        return import_key(self, name, key, *args, **kwargs)

    monkeypatch.setattr(APIKeyManager, "import_key", note_key)
    logging.setLogRecordFactory(note_record)
    yield secrets
    logging.setLogRecordFactory(make)
    for record in records:
        assert not secrets.shown_in(shown_by(record)), f"{record.name} shows a key"
    for message in getattr(mail, "outbox", ()):
        assert not secrets.shown_in(shown_by_mail(message)), "a mail shows a key"


@pytest.fixture
def arf() -> AsyncRequestFactory:
    return AsyncRequestFactory()


@pytest.fixture
def sender(transactional_db: None) -> User:
    return User.objects.create_user("arsalanshah", first_name="Arsalan", last_name="Shah")


@pytest.fixture
def recipient(transactional_db: None) -> User:
    return User.objects.create_user("testuser", first_name="Some", last_name="Name")


@pytest.fixture
def stranger(transactional_db: None) -> User:
    return User.objects.create_user("stranger")


@pytest.fixture
def key(transactional_db: None) -> str:
    return APIKey.objects.create_key("the tests")[1]


@dataclass
class API:
    """A client of the protocol, which sees what each answer must have in common with all others."""

    client: Client
    key: str
    sender: User
    recipient: User

    def fields(self, **changes: Any) -> dict[str, Any]:
        """Return the parameters of a good request, with changes; ``from_`` is ``from``, ``None`` takes one away."""
        given = {
            "api_key_token": self.key,
            "from": str(self.sender.pk),
            "to": str(self.recipient.pk),
            "message": "Test",
            **{name.rstrip("_"): value for name, value in changes.items()},
        }
        return {name: value for name, value in given.items() if value is not None}

    def read(self, response: Any, status: int = 200) -> dict[str, Any]:
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/json"
        assert response["Cache-Control"] == "no-store"
        answer: dict[str, Any] = json.loads(response.content)
        assert list(answer) == ENVELOPE_KEYS
        assert isinstance(answer["time_token"], int)
        assert (answer["payload"] is False) == (answer["code"] != "100")
        return answer

    def send(self, headers: dict[str, str] | None = None, status: int = 200, **changes: Any) -> dict[str, Any]:
        return self.read(self.client.post(SEND, self.fields(**changes), headers=headers), status)

    def send_raw(
        self, body: bytes, content_type: str, query: str = "", status: int = 200, **extra: Any
    ) -> dict[str, Any]:
        path = f"{SEND}?{query}" if query else SEND
        return self.read(self.client.generic("POST", path, body, content_type, **extra), status)

    def ok(self, **changes: Any) -> dict[str, Any]:
        answer = self.send(**changes)
        assert answer["code"] == "100", answer
        payload: dict[str, Any] = answer["payload"]
        return payload

    def ask(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer of another endpoint than ``SEND``, with ``path`` from the version on.

        ``status`` is the HTTP status that it must have, and ``get`` asks by GET.
        """
        status, get = parameters.pop("status", 200), parameters.pop("get", False)
        given = {"api_key_token": self.key, **{name.rstrip("_"): value for name, value in parameters.items()}}
        response = (self.client.get if get else self.client.post)(f"/api/{path}", given)
        return self.read(response, status)

    def told(self, path: str, **parameters: Any) -> Any:
        """Return the payload of another endpoint than ``SEND``."""
        answer = self.ask(path, **parameters)
        assert answer["code"] == "100", answer
        return answer["payload"]

    def fails(self, code: str, **changes: Any) -> str:
        answer = self.send(**changes)
        assert answer["code"] == code, answer
        text: str = answer["message"]
        return text


@pytest.fixture
def api(client: Client, key: str, sender: User, recipient: User) -> API:
    return API(client, key, sender, recipient)


def staff(name: str, *permissions: str) -> Client:
    """Return the browser of somebody who may use the admin, as far as these permissions of the app go."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def moderator(api: API) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("moderator"))
    return client


def page(client: Client, path: str, **data: Any) -> str:
    """Return a page of the app's admin."""
    response = client.get(f"/admin/ossn_messaging/{path}", data)
    assert response.status_code == 200, response
    text: str = response.content.decode()
    return text


@contextmanager
def noted(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Yield what a signal is sent with."""
    calls: list[dict[str, Any]] = []

    def note(**kwargs: Any) -> None:
        calls.append(kwargs)

    signal.connect(note)
    try:
        yield calls
    finally:
        signal.disconnect(note)


@pytest.fixture
def received(transactional_db: None) -> Iterator[list[dict[str, Any]]]:
    """What ``message_sent`` was sent with."""
    with noted(message_sent) as calls:
        yield calls


def upload(
    name: str, content: bytes | None = None, content_type: str = "application/octet-stream"
) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, SAMPLES[name] if content is None else content, content_type)


def fetch(client: Client, url: str, **extra: Any) -> tuple[Any, bytes]:
    """Return an answer, or the one that it leads to, and its whole body, with everything closed behind it.

    As a client should, it keeps a key to itself when it is led to another server.
    """
    response = client.get(url, **extra)
    body = response.getvalue()
    response.close()
    if response.status_code == 302:
        headers = {name: value for name, value in extra.get("headers", {}).items() if name != "Authorization"}
        request = urllib.request.Request(response["Location"], headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as far:
            return HttpResponse(status=far.status, headers=dict(far.headers)), far.read()
    return response, body


def keep_attachments_in(settings: Settings, backend: str, **options: Any) -> None:
    """Let attachments go to a storage of this kind."""
    settings.STORAGES = {**settings.STORAGES, "ossn_messaging": {"BACKEND": backend, "OPTIONS": options}}


def keep_attachments_in_s3(settings: Settings, server: S3Server, bucket: Path, **changes: Any) -> None:
    """Let attachments go to a bucket, with more patience than a site has, for the machine may be busy."""
    options = {"client_config": Config(connect_timeout=SECONDS, read_timeout=SECONDS), **changes}
    keep_attachments_in(
        settings, "ossn_messaging.storage.S3AttachmentStorage", **server.options(bucket.name, **options)
    )


def plain_environment(**changes: str) -> dict[str, str]:
    """Return the environment without what the tests themselves are run with, and with ``changes``."""
    mine = ("COV", "DATABASE", "DJANGO")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)} | changes


def error_report(error: BaseException) -> str:
    """Return what an admin of the site would be mailed, without the first frames, which are a test's own."""
    trace = error.__traceback__
    while trace and Path(trace.tb_frame.f_code.co_filename).parent == Path(__file__).parent:
        trace = trace.tb_next
    assert trace is not None
    return str(ExceptionReporter(RequestFactory().get("/"), type(error), error, trace).get_traceback_html())


def files_in(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
