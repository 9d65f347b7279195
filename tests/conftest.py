"""The fixtures of all tests."""

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import AsyncRequestFactory, Client
from playwright.sync_api import Browser
from pytest_django import Settings

from ossn_messaging.models import APIKey
from ossn_messaging.models.api_keys import APIKeyManager
from ossn_messaging.signals import message_sent

pytest.register_assert_rewrite(*(f"tests.support.{name}" for name in ("api", "client", "demo", "files")))

from tests.support import ROOT  # noqa: E402
from tests.support.api import API, noted  # noqa: E402
from tests.support.browser import Site, chromium, log_in, window  # noqa: E402
from tests.support.client import App  # noqa: E402
from tests.support.secrets import Secrets, shown_by, shown_by_mail  # noqa: E402
from tests.support.servers import S3Server, s3_server  # noqa: E402
from tests.support.storage import keep_attachments_in_s3  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="FOLDER", help="write the pictures of the README into this folder")


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


@pytest.fixture
def api(client: Client, key: str, sender: User, recipient: User) -> API:
    return API(client, key, sender, recipient)


@pytest.fixture
def moderator(api: API) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("moderator"))
    return client


@pytest.fixture
def received(transactional_db: None) -> Iterator[list[dict[str, Any]]]:
    """What ``message_sent`` was sent with."""
    with noted(message_sent) as calls:
        yield calls


# In a browser. The module of the test says what ``site`` is.


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def login(browser: Browser, site: Site) -> Any:
    """The cookies of the admin."""
    with window(browser) as page:
        log_in(page, site, "admin")
        return page.context.storage_state()


@pytest.fixture
def david(site: Site) -> App:
    return App(site.url, site.key, site.people["david"])


@pytest.fixture
def ben(site: Site) -> App:
    return App(site.url, site.key, site.people["ben"])
