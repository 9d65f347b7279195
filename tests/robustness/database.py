"""A PostgreSQL of its own fails while messages are sent: ``python -m tests.robustness.database [--long]``.

Each answer is a code 100 or an envelope with the status 503; when the fault is over messages are sent again, by the
same workers; nothing is lost or doubled.
"""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.live import Server, gunicorn, prepared
from tests.robustness.clients import Habits, Site, sending
from tests.robustness.disk import Disk, small_disk
from tests.robustness.ledger import Ledger
from tests.robustness.program import parsed, status_of, tell
from tests.servers import HOST, SECONDS, absent, free_port

USERS = 4
HEALTHY = 40
"""How many messages are sent before each fault, and in a row after it."""
REFUSED = 20
"""How many are refused before a fault that lasts is over."""
ROUNDS = {"short": 1, "long": 10}
HABITS = Habits(files=0.2, length=4000)
"""Texts fill the disk of the database, files another."""
LOOKS, WAITS = 1, 10
"""After how many seconds of waiting for a lock the app's side looks for a deadlock: where it is to find it, one client
after the other, and where another is to be first on a machine that is busy."""
CUTS = 12
BETWEEN_CUTS = 10
"""How many messages are sent."""


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server with its data."""

    programs: Path
    data: Path
    log: Path
    port: int

    def control(self, *command: str) -> None:
        as_postgres(self.programs / "pg_ctl", "--pgdata", self.data, "--log", self.log, "--wait", "--silent", *command)

    def connected(self, **options: Any) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host=HOST, port=self.port, user="postgres", dbname=os.environ["DATABASE_NAME"], autocommit=True, **options
        )


def as_postgres(*command: str | Path) -> None:
    """Run a program of PostgreSQL's, none of which runs as root."""
    before = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*before, *command], capture_output=True, text=True, timeout=SECONDS, check=False, cwd="/")
    if done.returncode:
        pytest.fail(f"{Path(command[0]).name}: {done.stdout}{done.stderr}")


@contextmanager
def cluster(folder: Path, data: Path) -> Iterator[Cluster]:
    """Make a cluster in ``data``; what it writes first of all, its log of changes, is in ``folder``."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda programs: int(programs.parent.name))
    if not found or not (found[-1] / "initdb").exists():
        absent("a PostgreSQL server's initdb")
    made = Cluster(found[-1], data, folder / "postgresql.log", free_port())
    as_postgres(
        made.programs / "initdb",
        "--pgdata",
        data,
        "--waldir",
        folder / "wal",
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
    )
    settings = {"port": made.port, "listen_addresses": HOST, "unix_socket_directories": "", "shared_buffers": "32MB"}
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    made.control("start")
    try:
        yield made
    finally:
        made.control("stop", "--mode=immediate")


@dataclass(frozen=True)
class Attack:
    cluster: Cluster
    disk: Disk
    site: Site
    server: Server
    ledger: Ledger

    def restart(self, mode: str) -> None:
        self.cluster.control("restart", f"--mode={mode}")

    def cut(self) -> None:
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        with self.cluster.connected() as connection:
            for _ in range(CUTS):
                connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
                self.ledger.until_acknowledged(BETWEEN_CUTS)

    def deadlock(self, *, app_first: bool) -> None:
        """Lock the two sides of a conversation in the wrong order; who looks for a deadlock first is its victim."""
        low, high = sorted(self.site.users[:2])
        lock = "SELECT FROM ossn_messaging_conversation WHERE user_id = %s AND other_user_id = %s FOR UPDATE"
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        with self.cluster.connected() as outside, self.cluster.connected() as watching:
            outside.execute(f"SET deadlock_timeout = '{SECONDS if app_first else 0.01}s'")
            watching.execute(f"ALTER SYSTEM SET deadlock_timeout = '{LOOKS if app_first else WAITS}s'")
            watching.execute("SELECT pg_reload_conf()")
            refused, is_victim = self.ledger.refused, False
            try:
                with outside.transaction():
                    outside.execute(lock, [high, low])
                    pid = [outside.info.backend_pid]
                    self.ledger.until(lambda: watching.execute(blocked, pid).fetchone()[0])  # type: ignore[index]
                    outside.execute(lock, [low, high])
            except psycopg.errors.DeadlockDetected:
                is_victim = True
            if is_victim == app_first:
                pytest.fail("the wrong one of the two was the victim of the deadlock")
            if app_first:
                self.ledger.until(lambda: self.ledger.refused > refused)

    def read_only(self) -> None:
        with self.cluster.connected() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
            self.until_refused(REFUSED)
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")

    def full(self) -> None:
        with self.disk.full():
            self.until_refused(REFUSED)

    def until_refused(self, more: int) -> None:
        target = self.ledger.refused + more
        self.ledger.until(lambda: self.ledger.refused >= target)


def suffer(attack: Attack, name: str, fault: Callable[[], None], seed: int, *, refuses: bool, denials: bool) -> None:
    """Let a fault happen while clients send, and see that they can go on and what has become of their messages."""
    ledger, workers, refused = attack.ledger, attack.server.workers, attack.ledger.refused
    with sending(attack.site, ledger, seed, habits=HABITS):
        ledger.until_acknowledged(HEALTHY)
        fault()
        over = time.monotonic()
        ledger.streak = 0
        ledger.until(lambda: ledger.streak >= HEALTHY)
        recovered = time.monotonic() - over
    if attack.server.workers != workers:
        ledger.wrong.append(f"workers {workers} became {attack.server.workers}")
    if ledger.broken:
        ledger.wrong.append(f"{ledger.broken} answers never came")
    if (ledger.refused > refused) != refuses:
        ledger.wrong.append(f"{ledger.refused - refused} messages were refused")
    try:
        account = ledger.settle(attack.server.log.parent / "attachments", denials=denials)
    except pytest.fail.Exception as failed:
        pytest.fail(f"{name}: {failed}")
    tell(f"{name}: {ledger.refused - refused} refused, {HEALTHY} sent {recovered:.1f} s after; in all {account}")


def run(rounds: int, seed: int, folder: Path) -> None:
    folder.chmod(0o711)
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    logs = folder / "cluster"
    logs.mkdir()
    os.chown(logs, owner.pw_uid, owner.pw_gid)
    with (
        small_disk(folder / "data", mebibytes=400, owner=owner.pw_uid) as disk,
        cluster(logs, folder / "data" / "cluster") as own,
        prepared(folder, f"postgres://postgres@{HOST}:{own.port}/postgres"),
        gunicorn(folder, workers=4) as server,
    ):
        tell(f"seed {seed}")
        attack = Attack(own, disk, Site.made(server.port, USERS), server, Ledger())
        for number in range(rounds):
            go = partial(suffer, attack, seed=seed + number)
            go("restarted (fast)", partial(attack.restart, "fast"), refuses=True, denials=True)
            go("restarted (immediate)", partial(attack.restart, "immediate"), refuses=True, denials=True)
            go("connections cut", attack.cut, refuses=True, denials=False)
            go("deadlock, the app its victim", partial(attack.deadlock, app_first=True), refuses=True, denials=False)
            go("deadlock, another its victim", partial(attack.deadlock, app_first=False), refuses=False, denials=False)
            go("read-only", attack.read_only, refuses=True, denials=False)
            go("disk full", attack.full, refuses=True, denials=False)


if __name__ == "__main__":
    options = parsed(__doc__)
    sys.exit(status_of(partial(run, ROUNDS["long" if options.long else "short"], options.seed)))
