"""Clients that generators write from the schema: they send a file, list a conversation and download the file."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.demo import demo
from tests.support.files import PDF
from tests.support.readme import Block, claimed
from tests.support.servers import absent, plain_environment

pytestmark = pytest.mark.system

PAGE = "docs/howto/openapi.md"
COMMANDS = claimed("shell", page=PAGE)
PYTHON = claimed("send.py", page=PAGE)
TYPESCRIPT = claimed("typescript", page=PAGE)
LIFETIME = 600
"""How long the demo may be used, in seconds."""
IMPORT_ALL = """
import importlib, pkgutil, messages_client
for module in pkgutil.walk_packages(messages_client.__path__, "messages_client."):
    print(importlib.import_module(module.name).__name__)
"""


@dataclass
class Developer:
    """Somebody who follows the page of the manual in a folder of their own."""

    folder: Path
    url: str
    key: str

    def adapted(self, block: Block) -> str:
        return block.text.replace("https://example.com", self.url).replace("KEY", self.key)

    def run(self, *command: str) -> str:
        """Run a program and return what it prints. It may print no errors and no warnings."""
        programs = sysconfig.get_path("scripts")
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=plain_environment(PYTHONWARNINGS="error", PATH=f"{programs}:{plain_environment()['PATH']}"),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIFETIME,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def assert_sent_listed_and_downloaded(self, printed: str) -> None:
        assert re.fullmatch(r"\d+ Hello\n", printed)
        assert (self.folder / "copy.pdf").read_bytes() == PDF


@pytest.fixture
def developer(tmp_path: Path) -> Iterator[Developer]:
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "dummy.pdf").write_bytes(PDF)
    with demo(tmp_path / "demo", "--port", "0", seconds=LIFETIME) as site:
        yield Developer(folder, site.url, site.key)


def test_a_client_in_python(developer: Developer) -> None:
    (command,) = (block for block in COMMANDS if "openapi-python-client" in block.text)
    (program,) = PYTHON
    developer.run("bash", "-euc", f"{developer.adapted(command).rstrip()} --fail-on-warning")
    modules = developer.run(sys.executable, "-c", IMPORT_ALL).split()
    assert {"messages_client.api.messages.send_message", "messages_client.models.ossn_item"} <= set(modules)
    (developer.folder / "send.py").write_text(developer.adapted(program))
    developer.assert_sent_listed_and_downloaded(developer.run(sys.executable, "send.py"))


def test_a_client_in_typescript(developer: Developer) -> None:
    if shutil.which("npm") is None:
        absent("npm")
    (commands,) = (block for block in COMMANDS if "openapi-typescript" in block.text)
    (program,) = TYPESCRIPT
    (developer.folder / "client.mts").write_text(developer.adapted(program))
    install, *others = developer.adapted(commands).splitlines()
    if subprocess.run(install.split(), cwd=developer.folder, capture_output=True, check=False).returncode:
        absent("the registry of npm")
    for command in others:
        developer.run("bash", "-euc", command)
    developer.assert_sent_listed_and_downloaded(developer.run("node", "client.mjs"))
