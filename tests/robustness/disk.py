"""A disk that is small enough to be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import absent, wait_until


@dataclass(frozen=True)
class Disk:
    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1024 * 1024, 4096):  # up to the last page, but quickly
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """It can't become so as long as something is being written there."""
        wait_until(lambda: self._remount("ro"))
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how: str) -> bool:
        command = ["mount", "-o", f"remount,{how}", str(self.folder)]
        return not subprocess.run(command, capture_output=True, check=False).returncode


@contextmanager
def small_disk(folder: Path, *, mebibytes: int, owner: int | None = None) -> Iterator[Disk]:
    """Make a folder that is a disk of its own, of the user with this number."""
    folder.mkdir()
    options = f"size={mebibytes}m,uid={os.getuid() if owner is None else owner},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        absent("the right to mount a disk")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
