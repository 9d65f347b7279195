"""A site of its own under gunicorn, on a database of its own: what the benchmarks measure and the attacks attack.

A program that uses it is one process for one database, with ``tests.live.settings``: ``prepared()`` begins it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

from tests.support.databases import new_database
from tests.support.servers import HOST, SECONDS, free_port, running, wait_until


@contextmanager
def prepared(folder: Path, database_url: str | None) -> Iterator[None]:
    """Set up Django with ``tests.live.settings`` and make the database, which is gone at the end.

    ``database_url`` names a database on the server that makes the new one; ``None`` is SQLite in ``folder``, where the
    attachments are too. What is started within sees the same site.
    """
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.live.settings", "DATA_DIR": str(folder)}
    os.environ.pop("DATABASE_URL", None)
    if database_url:
        os.environ["DATABASE_URL"] = database_url
    django.setup()
    with new_database() as name:
        os.environ["DATABASE_NAME"] = name
        yield


@dataclass(frozen=True)
class Server:
    """Gunicorn: a master and its workers."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    """What all of them have written."""

    @property
    def workers(self) -> list[int]:
        """The process ids of those that are there now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def kill(self) -> None:
        """Kill the master and its workers at once, as a power failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)


@contextmanager
def gunicorn(
    folder: Path,
    *,
    workers: int,
    threads: int = 4,
    port: int | None = None,
    access_log: bool = False,
    **environment: Any,
) -> Iterator[Server]:
    """Serve the site; ``environment`` has what else ``tests.live.settings`` reads from there."""
    port = port or free_port()
    log = folder / "gunicorn.log"
    options = [f"--bind={HOST}:{port}", f"--workers={workers}", "--worker-class=gthread", f"--threads={threads}"]
    options += ["--no-control-socket", "--keep-alive=60", "--log-level=warning", "--worker-tmp-dir=/dev/shm"]
    options += ["--access-logfile=-"] if access_log else []
    command = [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]
    env = os.environ | {name: str(value) for name, value in environment.items()}
    with (
        log.open("ab") as output,
        running(command, port, env=env, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        server = Server(port, process, log)
        try:
            wait_until(lambda: len(server.workers) == workers)
            yield server
        finally:
            with suppress(ProcessLookupError):
                server.kill()
