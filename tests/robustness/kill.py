"""Workers and whole servers are killed within what they do: ``python -m tests.robustness.kill [--long]``.

Every message that was acknowledged is there once, whole and with its file; of the others, each at most once.
"""

import os
import random
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.live import gunicorn, prepared
from tests.robustness.clients import Site, fetched, sending
from tests.robustness.ledger import Ledger, file_of
from tests.robustness.program import on_each, parsed, status_of, tell
from tests.support.databases import DATABASES, url_of
from tests.support.files import kept
from tests.support.servers import accepts, free_port, wait_until

WORKERS = 4
USERS = 6
KILLS = {"short": 9, "long": 30}
EACH = 3
"""Each of so many kills is one of the whole server."""
BETWEEN = (5, 60)
"""How many messages are sent from one kill to the next."""


def attack(database: str, kills: int, seed: int, folder: Path) -> None:
    chance, ledger, url = random.Random(seed), Ledger(), url_of(database)
    uploads = folder / "uploads"
    uploads.mkdir()
    with prepared(folder, url), ExitStack() as running:
        site = Site.made(free_port(), USERS)
        start = partial(gunicorn, folder, workers=WORKERS, port=site.port, FILE_UPLOAD_TEMP_DIR=uploads)
        server = running.enter_context(start())
        with sending(site, ledger, seed):
            for number in range(1, kills + 1):
                ledger.until_acknowledged(chance.randint(*BETWEEN))
                if number % EACH:
                    ledger.until(lambda: server.workers)  # noqa: B023, waited for here
                    os.kill(chance.choice(server.workers), signal.SIGKILL)
                else:
                    server.kill()
                    wait_until(lambda: not accepts(site.port))
                    running.close()
                    server = running.enter_context(start())
            ledger.until_acknowledged(BETWEEN[1])
        for entry, content in fetched(site, ledger):
            if content != kept(*file_of(entry.number)):
                ledger.wrong.append(f"the file of message {entry.number} has other bytes than were sent")
        running.close()
        if ledger.refused:
            ledger.wrong.append(f"{ledger.refused} messages were refused, though nothing but the server failed")
        if left := [path.name for path in uploads.iterdir()]:
            ledger.wrong.append(f"left where uploads wait: {left}")
        account = ledger.settle(folder / "attachments")
    tell(f"{database}, {kills} kills, seed {seed}: {account}; {ledger.broken} answers never came")


if __name__ == "__main__":
    options = parsed(__doc__, DATABASES)
    if options.on is None:
        sys.exit(on_each("tests.robustness.kill", DATABASES, options))
    sys.exit(status_of(partial(attack, options.on, KILLS["long" if options.long else "short"], options.seed)))
