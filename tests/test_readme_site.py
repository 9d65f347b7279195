"""Sites as ``startproject`` makes them, to which everything is done that a page says, in its order."""

import base64
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.conftest import plain_environment
from tests.files import PDF
from tests.readme import Block, claimed
from tests.servers import HOST, SECONDS, absent, free_port, running

README = claimed("INSTALLED_APPS", "urls.py", "bash", "json", page="README.md")
GUIDES = claimed("INSTALLED_APPS", "urls.py", "views.py", "bash", page="docs/howto/*")
USERS = """
from django.contrib.auth.models import User
User.objects.create_user("anna", first_name="Anna", password="of anna")
User.objects.create_user("ben", first_name="Ben")
"""
CHECKOUT = "/path/to/checkout"
EXAMPLE = "https://example.com"


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

    def environment(self, **changes: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{plain_environment()['PATH']}"
        return plain_environment(PATH=path, PYTHONPATH=str(self.packages), **changes)

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
            assert json.loads(block.text) == self.answer, block
            assert block.text == json.dumps(self.answer, indent=4) + "\n", block
        elif block.kind != "bash":
            self.stop()
            file = self.folder / "bare" / {"INSTALLED_APPS": "settings.py"}.get(block.kind, block.kind)
            before = file.read_text() if file.exists() else ""
            file.write_text(f"{before}\n{block.in_a_site()}")
        elif "pip install" in block.text:
            self.install(block.text.replace(CHECKOUT, str(self.wheel)))
        elif "curl" in block.text:
            for command in block.text.replace("\\\n", " ").splitlines():
                self.ask(command)
        else:
            commands = block.text.replace("migrate\n", f"migrate\npython manage.py shell -c '{USERS}'\n")
            printed = self.run(commands, PYTHONWARNINGS="error")
            self.key = self.key or next(iter(re.findall(r"^ossn_\S+$", printed, re.MULTILINE)), "")

    def install(self, command: str) -> None:
        """Let pip take the wheel and nothing else from anywhere."""
        options = {"NO_INDEX": "1", "NO_DEPS": "1", "TARGET": self.packages}
        self.run(command, **{f"PIP_{name}": str(given) for name, given in options.items()})
        assert (self.packages / "ossn_messaging").is_dir()

    def ask(self, command: str) -> None:
        """Let curl ask a live server, and keep the answer as it would be at example.com, now and here left out."""
        url = self.serve()
        printed = self.run(command.replace(EXAMPLE, url).replace("KEY", self.key))
        answer = json.loads(printed)
        assert answer["code"] == "100", printed
        shown = json.dumps(answer).replace(url, EXAMPLE).replace(f'"{HOST}"', '"example.com"')
        shown = re.sub(r'("time(?:_token)?": )\d+', r"\g<1>1714841244", shown)
        shown = re.sub(r"attachment/[0-9a-f]{32}", "attachment/0fe4d28b98fcdd503f5650560e06e025", shown)
        self.answer = json.loads(re.sub(r"signature=[^\"]+", "signature=...", shown))

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


@pytest.fixture
def site(tmp_path: Path, wheel: Path) -> Iterator[Site]:
    if shutil.which("curl") is None:
        absent("curl")
    site = Site(tmp_path / "site", tmp_path / "packages", wheel)
    site.folder.mkdir()
    site.packages.mkdir()
    (site.folder / "dummy.pdf").write_bytes(PDF)
    (site.folder / "key.txt").write_text("the-key-that-clients-have\n")
    site.run("python -m django startproject bare .")
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
