"""The demo, started as the README says, and its commands."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT
from tests.support.servers import plain_environment, wait_until

SECONDS = 60


@dataclass(frozen=True)
class Demo:
    printed: str
    """What it says when it starts."""
    log: Path
    """All that it writes to the console."""

    @property
    def url(self) -> str:
        return "".join(re.findall(r"runs at (http://\S+)/ ", self.printed))

    @property
    def key(self) -> str:
        return "".join(re.findall(r"Api-Key ([\w-]+)", self.printed))

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^curl (?:.+\n)+", self.printed, re.MULTILINE)

    def requests(self) -> list[str]:
        """Return what the console shows of requests."""
        return self.log.read_text().removeprefix(self.printed).splitlines()


@contextmanager
def demo(data_dir: Path, *arguments: str, seconds: int = SECONDS) -> Iterator[Demo]:
    """Start the demo, and yield it when it is ready."""
    data_dir.mkdir(exist_ok=True)
    log = data_dir / "console.log"
    with (
        log.open("wb") as console,
        subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=ROOT,
            env=plain_environment(DATA_DIR=str(data_dir)),
            stdout=console,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        try:
            wait_until(lambda: process.poll() is not None or "Ctrl-C.\n" in log.read_text())
            assert process.poll() is None, log.read_text()
            yield Demo(log.read_text(), log)
        finally:
            watchdog.cancel()
            process.terminate()


def manage(data_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the demo's, which must go well."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=plain_environment(DATA_DIR=str(data_dir)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
