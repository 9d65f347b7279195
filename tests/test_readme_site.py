"""A site as ``startproject`` makes it, to which everything is done that the README says, in its order."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.conftest import plain_environment
from tests.files import PDF
from tests.readme import Block, claimed
from tests.servers import HOST, SECONDS, absent, free_port, running

STEPS = claimed("INSTALLED_APPS", "urls.py", "views.py", "bash", "json")
USERS = """
from django.contrib.auth.models import User
User.objects.bulk_create([User(username="anna", first_name="Anna"), User(username="ben", first_name="Ben")])
"""


@dataclass
class Site:
    """The folder of a site and that of what is installed for it."""

    folder: Path
    packages: Path
    wheel: Path
    key: str = ""
    answer: str = ""

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
        file = self.folder / "bare" / {"INSTALLED_APPS": "settings.py"}.get(block.kind, block.kind)
        if block.kind == "json":
            assert block.text == self.answer
        elif block.kind != "bash":
            before = file.read_text() if file.exists() else ""
            file.write_text(f"{before}\n{block.in_a_site()}")
        elif "pip install" in block.text:
            self.install(block.text)
        elif "curl" in block.text:
            self.ask(block.text)
        else:
            printed = self.run(block.text, PYTHONWARNINGS="error")
            if "migrate" in block.text:
                self.key = printed.splitlines()[-1]
                self.run(f"python manage.py shell -c '{USERS}'")

    def install(self, command: str) -> None:
        """Let pip take the wheel and nothing else from anywhere."""
        options = {"NO_INDEX": "1", "FIND_LINKS": self.wheel.parent, "NO_DEPS": "1", "TARGET": self.packages}
        self.run(command, **{f"PIP_{name}": str(given) for name, given in options.items()})
        assert (self.packages / "ossn_messaging").is_dir()

    def ask(self, command: str) -> None:
        """Let curl ask a live server, and keep the answer as it would be at example.com, now and here left out."""
        with self.served() as url:
            printed = self.run(command.replace("https://example.com", url).replace("KEY", self.key))
        answer = json.loads(printed)
        assert answer["code"] == "100", printed
        shown = json.dumps(answer, indent=4).replace(url, "https://example.com").replace(f'"{HOST}"', '"example.com"')
        shown = re.sub(r'("time(?:_token)?": )\d+', r"\g<1>1714841244", shown)
        shown = re.sub(r"attachment/[0-9a-f]{32}", "attachment/0fe4d28b98fcdd503f5650560e06e025", shown)
        self.answer = re.sub(r"signature=[^\"]+", "signature=...", shown) + "\n"

    @contextmanager
    def served(self) -> Iterator[str]:
        port = free_port()
        command = [sys.executable, "manage.py", "runserver", "--noreload", str(port)]
        with (
            (self.folder / "server.log").open("ab") as log,
            running(command, port, cwd=self.folder, env=self.environment(), stdout=log, stderr=log),
        ):
            yield f"http://{HOST}:{port}"


def fetch(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SECONDS) as response:
        return response.read()


def test_a_site_made_by_the_readme(tmp_path: Path, wheel: Path) -> None:
    if shutil.which("curl") is None:
        absent("curl")
    site = Site(tmp_path / "site", tmp_path / "packages", wheel)
    site.folder.mkdir()
    site.packages.mkdir()
    (site.folder / "dummy.pdf").write_bytes(PDF)
    (site.folder / "key.txt").write_text("the-key-that-clients-have\n")
    site.run("python -m django startproject bare .")
    for block in STEPS:
        site.do(block)
    urls = site.folder / "bare/urls.py"
    urls.write_text(f"{urls.read_text()}\nfrom bare.views import Statistics\n")
    urls.write_text(f"{urls.read_text()}urlpatterns.append(path('statistics', Statistics.as_view()))\n")
    site.run("python manage.py check --fail-level WARNING", PYTHONWARNINGS="error")
    key = site.run("python manage.py ossn_apikey create last").strip()
    with site.served() as url:
        assert json.loads(fetch(f"{url}/statistics", Authorization=f"Api-Key {key}")) == {"sent": 0}
        with pytest.raises(HTTPError, match="401") as caught:
            fetch(f"{url}/statistics")
        caught.value.close()
        for page in ("schema", "docs", "redoc"):
            assert b"api" in fetch(f"{url}/api/{page}/")
