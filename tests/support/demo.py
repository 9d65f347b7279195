"""The demo, started as the README says, and its commands."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.servers import plain_environment

SECONDS = 60


@contextmanager
def demo(data_dir: Path, *arguments: str, seconds: int = SECONDS) -> Iterator[str]:
    """Start the demo and yield what it prints, up to its last line."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=ROOT,
        env=plain_environment(DATA_DIR=str(data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            yield "".join([*iter_until(process.stdout, "Ctrl-C")])
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


def iter_until(lines: Iterable[str], word: str) -> Iterator[str]:
    for line in lines:
        yield line
        if word in line:
            return
    pytest.fail("it ended before it was ready")
