"""Sites as ``startproject`` makes them, to which everything is done that a page says, in its order."""

import base64
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.support import ROOT
from tests.support.files import PDF
from tests.support.readme import TUTORIAL, Block, claimed
from tests.support.servers import HOST, SECONDS, absent, free_port, plain_environment, running

pytestmark = pytest.mark.system

README = claimed("INSTALLED_APPS", "urls.py", "bash", "json", page="README.md")
GUIDES = [
    *claimed("INSTALLED_APPS", "urls.py", "views.py", "bash", page="docs/howto/*"),
    *claimed("views.py", page="docs/reference/*"),
]
TUTORIAL_STEPS = claimed(page=TUTORIAL)
API = claimed("bash", "json", page="docs/reference/api.md")
COMMANDS = claimed("bash", page="docs/reference/commands.md")
SHOWN_KEY = claimed("json", page="docs/reference/commands.md")
SHOWN_ORPHAN = claimed("text", holding="orphaned", page="docs/reference/commands.md")
SHOWN_DIFFERENCE = claimed("text", holding="unread_count", page="docs/reference/commands.md")
SECURITY = claimed("bash", page="docs/explanation/*")
CONTRIBUTING = claimed("bash", page="docs/contributing.md")
USERS = """
from django.contrib.auth.models import User
User.objects.create_user("anna", first_name="Anna", password="of anna")
User.objects.create_user("ben", first_name="Ben")
User.objects.create_user("carl", first_name="Carl")
"""
CHECKOUT = "/path/to/checkout"
EXAMPLE = "https://example.com"
LOCAL = "http://127.0.0.1:8000"


@dataclass
class Site:
    """The folder of a site and that of what is installed for it."""

    folder: Path
    packages: Path
    wheel: Path
    key: str = ""
    answer: Any = None
    serving: str = ""
    servers: ExitStack = field(default_factory=ExitStack)

    @property
    def path(self) -> str:
        return f"{Path(sys.executable).parent}:{plain_environment()['PATH']}"

    def environment(self, **changes: str) -> dict[str, str]:
        return plain_environment(PATH=self.path, PYTHONPATH=str(self.packages), **changes)

    def run(self, command: str, **environment: str) -> str:
        """Run a command as a shell in the folder would, and return what it prints."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def do(self, block: Block) -> None:
        if block.kind == "json":
            self.compare(block)
        elif block.kind != "bash":
            self.stop()
            file = self.folder / "bare" / {"INSTALLED_APPS": "settings.py"}.get(block.kind, block.kind)
            before = file.read_text() if file.exists() else ""
            file.write_text(f"{before}\n{block.in_a_site()}")
        elif "pip install" in block.text:
            self.install(block.text.replace(CHECKOUT, str(self.wheel)))
        elif "curl" in block.text:
            for command in block.text.replace("\\\n", " ").splitlines():
                assert self.ask(command)["code"] == "100", self.answer
        else:
            commands = block.text.replace("migrate\n", f"migrate\npython manage.py shell -c '{USERS}'\n")
            printed = self.run(commands, PYTHONWARNINGS="error")
            self.key = self.key or next(iter(re.findall(r"^ossn_\S+$", printed, re.MULTILINE)), "")

    def install(self, command: str) -> None:
        """Let pip take the wheel and nothing else from anywhere."""
        options = {"NO_INDEX": "1", "NO_DEPS": "1", "TARGET": self.packages}
        self.run(command, **{f"PIP_{name}": str(given) for name, given in options.items()})
        assert (self.packages / "ossn_messaging").is_dir()

    def ask(self, command: str) -> Any:
        """Let curl ask a live server, and return the answer as it would be at example.com.

        What is another each time is as in the manual.
        """
        url = self.serve()
        command = re.sub(r"(after=1-.+-)1714841244", rf"\g<1>{int(time.time())}", command)
        shown = self.run(command.replace(EXAMPLE, url).replace("KEY", self.key))
        self.answer = json.loads(steady(shown.replace(url, EXAMPLE).replace(f'"{HOST}"', '"example.com"')))
        return self.answer

    def compare(self, block: Block) -> None:
        """Compare the last answer, or its payload, with what a page shows of it."""
        answer = self.answer if '"merchant"' in block.text else self.answer["payload"]
        assert steady(block.text) == json.dumps(answer, indent=4) + "\n", block

    def serve(self) -> str:
        """Start a server of the site as it is now, unless one runs, and return its URL."""
        if not self.serving:
            self.serving = self.servers.enter_context(self.served())
        return self.serving

    def stop(self) -> None:
        self.servers.close()
        self.serving = ""

    @contextmanager
    def served(self) -> Iterator[str]:
        port = free_port()
        command = [sys.executable, "manage.py", "runserver", "--noreload", str(port)]
        with (
            (self.folder / "server.log").open("ab") as log,
            running(command, port, cwd=self.folder, env=self.environment(), stdout=log, stderr=log),
        ):
            yield f"http://{HOST}:{port}"


def steady(answer: str) -> str:
    """Return an answer in JSON without what is another each time."""
    answer = re.sub(r'("time(?:_token)?": ?)\d+', r"\g<1>1714841244", answer)
    answer = re.sub(r'("after": ?"1(?:-\d+){3})-\d+', r"\g<1>-1714841244", answer)
    answer = re.sub(r"attachment/[0-9a-f]{32}", "attachment/0fe4d28b98fcdd503f5650560e06e025", answer)
    answer = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-11-28T08:27:32Z", answer)
    return re.sub(r"signature=[^\"]+", "signature=...", answer)


@contextmanager
def new_site(folder: Path, wheel: Path) -> Iterator[Site]:
    if shutil.which("curl") is None:
        absent("curl")
    site = Site(folder / "site", folder / "packages", wheel)
    site.folder.mkdir()
    site.packages.mkdir()
    (site.folder / "dummy.pdf").write_bytes(PDF)
    (site.folder / "key.txt").write_text("the-key-that-clients-have\n")
    site.run("python -m django startproject bare .")
    yield site
    site.stop()


@pytest.fixture
def site(tmp_path: Path, wheel: Path) -> Iterator[Site]:
    with new_site(tmp_path, wheel) as site:
        yield site


@pytest.fixture(scope="module")
def with_the_app(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of a site with the app and three users, and without a key."""
    folder = tmp_path_factory.mktemp("with-the-app")
    with new_site(folder, wheel) as site:
        for block in README:
            if block.kind in ("INSTALLED_APPS", "urls.py") or "pip install" in block.text:
                site.do(block)
        site.run(f"python manage.py migrate\npython manage.py shell -c '{USERS}'")
    return folder


@pytest.fixture
def installed(with_the_app: Path, tmp_path: Path, wheel: Path) -> Iterator[Site]:
    """A copy of that site."""
    shutil.copytree(with_the_app, tmp_path, dirs_exist_ok=True)
    site = Site(tmp_path / "site", tmp_path / "packages", wheel)
    yield site
    site.stop()


def follow(site: Site, steps: Sequence[Block]) -> None:
    assert steps
    for block in steps:
        site.do(block)
    site.stop()
    site.run("python manage.py check --fail-level WARNING", PYTHONWARNINGS="error")


def fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers)), timeout=SECONDS) as response:
        return response.read()


def test_a_site_made_by_the_readme(site: Site) -> None:
    follow(site, README)
    assert site.answer["payload"]["attachment_name"] == "dummy.pdf"


VIEWS = """
from bare import views
urlpatterns += [
    path("statistics", views.Statistics.as_view()),
    path("issue", views.IssueKey.as_view()),
    path("revoke", views.RevokeKey.as_view()),
]
"""


def test_a_site_made_by_the_guides(site: Site) -> None:
    follow(site, GUIDES)
    urls = site.folder / "bare/urls.py"
    urls.write_text(f"{urls.read_text()}\n{VIEWS}")
    password = base64.b64encode(b"anna:of anna").decode()
    url = site.serve()
    for page in ("schema", "docs", "redoc"):
        assert b"api" in fetch(f"{url}/api/{page}/")
    issued = json.loads(fetch(f"{url}/issue", b"", {"Authorization": f"Basic {password}"}))
    header = {"Authorization": f"Api-Key {issued['key']}"}
    assert json.loads(fetch(f"{url}/statistics", None, header)) == {"sent": 0}
    unread = json.loads(fetch(f"{url}/api/v2.0/message/unread?guid={issued['user']}", None, header))
    assert unread["code"] == "100", "a key of anna reads as anna"
    unread = json.loads(fetch(f"{url}/api/v2.0/message/unread?guid={issued['user'] + 1}", None, header))
    assert unread["code"] == "200", "and as nobody else"
    assert fetch(f"{url}/revoke", b"", header) == b""
    for wrong in ({}, header):
        with pytest.raises(HTTPError, match="401") as caught:
            fetch(f"{url}/statistics", None, wrong)
        caught.value.close()


ASK = f"curl {EXAMPLE}/api/v2.0/message/"
WITH_KEY = "-F api_key_token=KEY"
BEFORE = {
    "/message/list": f"{ASK}send {WITH_KEY} -F from=2 -F to=1 -F message=$'Thank you, <Anna>!\\nBen'",
    "after=": f"{ASK}send {WITH_KEY} -F from=1 -F to=3 -F message=Hello",
}
"""What has happened before a request of the page."""
SHOWN = {
    "The API key is missing": f"{ASK}send -F api_key_token=wrong",
    "Either user not found": f"{ASK}list {WITH_KEY} -F guid=1 -F to=99",
    "does not have the scope `read`": f"{ASK}list -F api_key_token=SENDING -F guid=1 -F to=2",
    '"fullname": "Carl"': f"{ASK}list {WITH_KEY} -F guid=1 -F to=3",
    '"list": false,\n    "offset": 1': f"{ASK}recent {WITH_KEY} -F guid=3",
    "Invalid Method": f"curl {EXAMPLE}/api/v2.0/message/read",
    "Invalid API version": f"curl {EXAMPLE}/api/v3.0/message/send",
    "answer of the last 30 days": f"{ASK}updates {WITH_KEY} -F guid=1 -F after=x",
    "has no message with the `id`": f"{ASK}delete {WITH_KEY} -F id=99 -F guid=1",
    '"message": "Not found"': f"curl {EXAMPLE}/messages/attachment/99/a.pdf",
}
"""The requests of the answers that the page has no command for, by a text in them."""
AGAIN = "this idempotency key was used"
DELETED = '"is_deleted": "1"'


def test_the_answers_of_the_api(installed: Site) -> None:
    installed.key = installed.run("python manage.py ossn_apikey create server").strip()
    sending = installed.run("python manage.py ossn_apikey create sending --scope send").strip()
    requests, again = dict(SHOWN), []
    before = dict(BEFORE)
    previous = ""
    for block in API:
        for path in [path for path in before if block.kind == "bash" and path in block.text]:
            assert installed.ask(before.pop(path))["code"] == "100"
        if block.kind == "json" and AGAIN in block.text:
            again.append(block)  # what it takes would come between the messages of the page
        elif block.kind == "json" and DELETED in block.text:
            assert installed.answer["payload"] is True
            item = next(
                item for item in installed.ask(f"{ASK}list {WITH_KEY} -F guid=2 -F to=1")["payload"]["list"][1:]
            )
            assert steady(block.text) == json.dumps(item, indent=4) + "\n"
        elif block.kind == "json" and previous != "bash":
            (text,) = (text for text in requests if text in block.text)
            installed.ask(requests.pop(text).replace("SENDING", sending))
            installed.do(block)
        else:
            installed.do(block)
        previous = block.kind
    assert not requests
    assert not before
    for message in ("Hello", "Goodbye"):
        installed.ask(f"{ASK}send {WITH_KEY} -F from=1 -F to=2 -F message={message} -H 'Idempotency-Key: 1'")
    (block,) = again
    installed.do(block)


def test_the_commands(installed: Site) -> None:
    installed.key = installed.run("python manage.py ossn_apikey create tutorial --scope send --user anna").strip()
    attached = "-F attachment=@dummy.pdf"
    assert installed.ask(f"{ASK}send {WITH_KEY} -F from=1 -F to=2 -F message=Test {attached}")["code"] == "100"
    (block,) = SHOWN_KEY
    assert json.loads(steady(block.text)) == json.loads(
        steady(installed.run("python manage.py ossn_apikey show tutorial --json"))
    )
    orphan = installed.folder / "ossn_attachments/attachment/abc.pdf"
    orphan.write_bytes(PDF)
    hours_ago = time.time() - 7200
    os.utime(orphan, (hours_ago, hours_ago))
    (block,) = SHOWN_ORPHAN
    printed = installed.run("python manage.py ossn_attachments check --delete-orphans || true")
    some_time = re.compile(r"[\d-]{10} [\d:]{8} UTC")
    assert some_time.sub("then", printed) == some_time.sub("then", block.text)
    change = (
        "from ossn_messaging.models import Conversation; Conversation.objects.filter(user=2).update(unread_count=7)"
    )
    installed.run(f"python manage.py shell -c '{change}'")
    (block,) = SHOWN_DIFFERENCE
    assert installed.run("python manage.py ossn_conversations check --fix") == block.text
    follow(installed, COMMANDS)


def test_the_commands_of_the_explanations(installed: Site) -> None:
    follow(installed, SECURITY)


@dataclass
class Reader(Site):
    """Somebody who follows the tutorial in a folder and a virtual environment of their own."""

    path_now: str = ""
    printed: str = ""

    @property
    def path(self) -> str:
        return self.path_now or super().path

    def environment(self, **changes: str) -> dict[str, str]:
        pip = {f"PIP_{name}": "1" for name in ("NO_INDEX", "NO_DEPS", "IGNORE_INSTALLED")}
        return super().environment(**pip, PIP_FIND_LINKS=str(self.wheel.parent), **changes)

    def do(self, block: Block) -> None:
        if block.kind == "text":
            assert block.text in self.printed
        elif block.kind == "json":
            self.compare(block)
        elif block.kind != "bash":
            name = {"INSTALLED_APPS": "settings.py"}.get(block.kind, block.kind)
            file = self.folder / ("mysite" if "/" not in name else "") / name
            before = file.read_text() if name in ("settings.py", "urls.py") else ""
            file.write_text(f"{before}\n{block.in_a_site()}")
        elif "runserver" in block.text:
            self.serve()
        else:
            self.type(block.text)

    def type(self, commands: str) -> None:
        """Run commands in the one terminal that the reader has, which stays in its folder and environment."""
        end = self.packages.parent / "terminal"
        commands = commands.replace(CHECKOUT, str(self.wheel)).replace("KEY", self.key)
        commands = commands.replace(LOCAL, self.serving or LOCAL)
        self.printed = self.run(f'{commands}\npwd >"{end}"; echo "$PATH" >>"{end}"')
        folder, self.path_now = end.read_text().splitlines()
        self.folder = Path(folder)
        self.key = self.key or next(iter(re.findall(r"^ossn_\S+$", self.printed, re.MULTILINE)), "")
        if "curl" in commands:
            self.answer = json.loads(steady(self.printed.replace(self.serving, LOCAL)))


def test_the_tutorial(tmp_path: Path, wheel: Path) -> None:
    if shutil.which("curl") is None:
        absent("curl")
    reader = Reader(tmp_path / "reader", Path(sysconfig.get_path("purelib")), wheel)
    reader.folder.mkdir()
    try:
        for block in TUTORIAL_STEPS:
            reader.do(block)
        assert reader.key
        reader.stop()
        read_the_message(reader.serve())
    finally:
        reader.stop()


def read_the_message(url: str) -> None:
    """Do what the tutorial says in its last part, in a browser's place."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def get(path: str, form: Mapping[str, str] | None = None) -> str:
        body = urllib.parse.urlencode(form).encode() if form else None
        with browser.open(f"{url}{path}", body, timeout=SECONDS) as response:
            return str(response.read().decode("latin-1"))

    page = get("/inbox/")
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    login = {"csrfmiddlewaretoken": token, "username": "ben", "password": "the password of ben", "next": "/inbox/"}
    inbox = get("/accounts/login/", login)
    assert "1 unread, in 1 conversations" in inbox
    (path,) = re.findall(r'href="(/inbox/\d+/)">Anna<', inbox)
    conversation = get(path)
    assert "<p>Test</p>" in conversation
    (file,) = re.findall(r'href="(/messages/attachment/[^"]+)"', conversation)
    assert get(file).startswith("%PDF")
    assert "0 unread, in 0 conversations" in get("/inbox/")
    jar.clear()
    with pytest.raises(HTTPError, match="404") as caught:
        get(file)
    caught.value.close()


def test_the_commands_for_contributors(tmp_path: Path) -> None:
    """In a clone, with what is installed here: pip takes nothing from anywhere, and pytest collects a few tests."""
    if shutil.which("xgettext") is None:
        absent("gettext")
    pip = {f"PIP_{name}": "1" for name in ("NO_INDEX", "NO_DEPS")} | {"PIP_NO_BUILD_ISOLATION": "0"}
    environment = plain_environment(
        **pip,
        PATH=f"{Path(sys.executable).parent}:{plain_environment()['PATH']}",
        PYTHONPATH=sysconfig.get_path("purelib"),
        PYTEST_ADDOPTS="--collect-only -q -n 0 tests/api/test_scopes.py",
        DATA_DIR=str(tmp_path / "data"),
    )
    for block in CONTRIBUTING:
        folder = tmp_path / "ossn_messaging" if (tmp_path / "ossn_messaging").exists() else tmp_path
        if "django-admin" in block.text:
            folder /= "ossn_messaging"
        command = block.text.replace("REPOSITORY", str(ROOT))
        done = subprocess.run(
            ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    changed = ["git", "diff", "--name-only", "--", "tests"]
    assert subprocess.check_output(changed, cwd=tmp_path / "ossn_messaging", text=True) == ""
