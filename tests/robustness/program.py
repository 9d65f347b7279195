"""What the programs here have in common: their options, and how they end."""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def parsed(description: str | None, on: Iterable[str] = ()) -> argparse.Namespace:
    """Return the options; ``on`` names what is attacked by a process of its own each."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--long", action="store_true", help="attack for minutes instead of seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what is left to chance")
    if on:
        parser.add_argument("--on", choices=on, help="attack this one alone")
    return parser.parse_args()


def tell(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def status_of(attack: Callable[[Path], None]) -> int:
    """Run an attack in a folder of its own, say why it failed or was skipped, and return the exit status."""
    with TemporaryDirectory(prefix="robust") as folder:
        try:
            attack(Path(folder))
        except pytest.skip.Exception as skipped:
            tell(f"skipped: {skipped}")
        except pytest.fail.Exception as failed:
            tell(f"FAILED: {failed}")
            return 1
    return 0


def statuses(names: list[str], command: Callable[[str], list[str]]) -> int:
    """Run ``python -m`` with a command for each name, one after the other; return 1 if any of them failed."""
    failed = []
    for name in names:
        start = time.monotonic()
        if subprocess.run([sys.executable, "-m", *command(name)], check=False).returncode:
            failed.append(name)
        tell(f"{name}: {time.monotonic() - start:.0f} s")
    if failed:
        tell(f"FAILED: {', '.join(failed)}")
    return int(bool(failed))


def on_each(module: str, names: Iterable[str], options: argparse.Namespace) -> int:
    """Run a module once for each of what it attacks."""
    long = ["--long"] if options.long else []
    return statuses(list(names), lambda name: [module, f"--on={name}", f"--seed={options.seed}", *long])
