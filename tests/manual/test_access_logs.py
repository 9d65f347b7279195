"""The access logs of servers that do not write them by Python's logging, in the way that the manual says."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.readme import claimed
from tests.support.servers import HOST, SECONDS, absent, accepts, free_port, plain_environment, wait_until
from tests.test_redaction import IMPORTED, OWN, SIGNATURE, get, shows

pytestmark = pytest.mark.system

BLOCKS = {block.text.split()[0]: block for block in claimed("sh", page="docs/howto/logs.md")}
APPLICATIONS = """
def application(environ, start_response):
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})
"""
UWSGI = """
[uwsgi]
http-socket = {host}:{port}
module = applications
"""


@contextmanager
def serving(command: str, folder: Path, port: int) -> Iterator[Path]:
    """Let a shell run a command that serves, and yield the file of all that it prints. At the end it is stopped."""
    environment = plain_environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", PYTHONPATH=f"{folder}:{ROOT}"
    )
    printed = folder / "printed"
    with (
        printed.open("wb") as file,
        subprocess.Popen(
            ["bash", "-euc", command],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as shell,
    ):
        try:
            wait_until(lambda: accepts(port) or shell.poll() is not None)
            assert shell.returncode is None, printed.read_text()
            yield printed
            os.killpg(shell.pid, signal.SIGINT)  # as Ctrl-C does
            shell.wait(SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


@pytest.mark.parametrize("redacted", [True, False], ids=["as the manual says", "without"])
@pytest.mark.parametrize("server", ["daphne", "uwsgi"])
def test_an_access_log(tmp_path: Path, server: str, redacted: bool) -> None:
    if shutil.which(server, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None:
        absent(server)
    port = free_port()
    (tmp_path / "applications.py").write_text(APPLICATIONS)
    (tmp_path / "uwsgi.ini").write_text(UWSGI.format(host=HOST, port=port))
    command = BLOCKS[server].text.replace("mysite.asgi:application", f"-p {port} applications:asgi")
    if not redacted:
        command = command.partition("|")[0]
    with serving(command, tmp_path, port) as printed:
        for query in (f"api_key_token={IMPORTED}&from=1", f"api%5Fkey_token={OWN}", f"signature={SIGNATURE}"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"http://{HOST}:{port}/nowhere?{query}", Referer=f"http://{HOST}/?{query}")
            caught.value.close()
        wait_until(lambda: printed.read_text().count("GET /nowhere?") == 3)
    log = printed.read_text()
    assert bool(shows(log, IMPORTED, OWN)) != redacted
    if redacted:
        assert "GET /nowhere?api_key_token=********&from=1" in log
