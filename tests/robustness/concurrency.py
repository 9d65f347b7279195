"""Many clients at once in the same conversations: ``python -m tests.robustness.concurrency [--long]``.

They send to one recipient, and both ways between two users; they read, mark as viewed, and delete. None of it fails,
ids, positions and times grow in one order, and what is kept of each conversation is what a full count says.
"""

import json
import random
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.live import gunicorn, prepared
from tests.robustness.clients import Client, Site, complaint
from tests.robustness.ledger import Entry, Ledger
from tests.robustness.program import on_each, parsed, status_of, tell
from tests.support.databases import DATABASES, url_of
from tests.support.servers import free_port

CLIENTS = 64
ACTIONS = {"short": 10, "long": 150}
"""How many each client does."""
FILES = 0.1
"""How probable a file is."""
V2 = "/api/v2.0/message"


class Busy(Client):
    """A client that does all that there is to do, and expects to be told that it is done."""

    def __init__(self, site: Site, ledger: Ledger, chance: random.Random, deletions: deque[dict[str, Any]]) -> None:
        super().__init__(site, ledger)
        self.chance = chance
        self.deletions = deletions
        """What is still to be deleted: each message in its own way, and nothing twice."""
        self.done = 0

    def do(self, number: int, actions: int) -> None:
        """Do so many things, as a user of this client's own and as two whom all clients share."""
        popular, one, other, *own = self.site.users
        for _ in range(actions):
            pairs = [(own[number], popular), (one, other), (other, one)]
            sender, recipient = self.chance.choice([*pairs, pairs[1 + number % 2]])
            (action,) = self.chance.choices([self.write, self.view, self.delete], [5, 4, 2])
            action(sender, recipient)
            if self.ledger.wrong:
                break
        while self.deletions and not self.ledger.wrong:
            self.delete(one, other)
        self.close()

    def write(self, sender: int, recipient: int) -> None:
        entry = self.ledger.begin(sender, recipient, has_file=self.chance.random() < FILES, length=0)
        self.send(entry)
        if entry.id and self.chance.random() < 0.5:
            self.deletions.extend(self.plan(entry))

    def plan(self, entry: Entry) -> list[dict[str, Any]]:
        """Choose how a message is to be deleted, and note what will be left of it."""
        by_sender = {"id": entry.id, "guid": entry.sender, "for": "me"}
        by_recipient = {"id": entry.id, "guid": entry.recipient, "for": "me"}
        for_all = {"id": entry.id, "guid": entry.sender, "for": "all"}
        plans = [[by_sender], [by_recipient], [for_all], [by_sender, by_recipient], [by_recipient, for_all]]
        plan = self.chance.choice(plans)
        entry.blank, entry.gone = for_all in plan, plan == [by_sender, by_recipient]
        return plan

    def view(self, sender: int, recipient: int) -> None:
        mark = int(self.chance.random() < 0.8)
        asked: list[tuple[str, dict[str, Any]]] = [
            ("list", {"guid": recipient, "to": sender, "markallread": mark}),
            ("new", {"to": recipient, "from": sender, "markallread": mark}),
            ("recent", {"guid": recipient}),
            ("unread", {"guid": recipient}),
        ]
        ((path, parameters),) = self.chance.choices(asked, [3, 3, 1, 1])
        self.expect(path, parameters)

    def delete(self, sender: int, recipient: int) -> None:
        try:
            self.expect("delete", self.deletions.popleft())
        except IndexError:
            self.view(sender, recipient)

    def expect(self, path: str, parameters: dict[str, Any]) -> None:
        answer = self.ask(self.request(f"{V2}/{path}", **parameters))
        if answer is None or complaint(answer) or json.loads(answer.body)["code"] != "100":
            self.ledger.wrong.append(f"{path} {parameters}: {answer}")
        self.done += 1


def attack(database: str, actions: int, seed: int, folder: Path) -> None:
    ledger, deletions = Ledger(), deque[dict[str, Any]]()
    with (
        prepared(folder, url_of(database)),
        gunicorn(folder, workers=4, threads=8, port=free_port()) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        site = Site.made(server.port, CLIENTS + 3)
        clients = [Busy(site, ledger, random.Random(f"{seed} {number}"), deletions) for number in range(CLIENTS)]
        list(pool.map(lambda number: clients[number].do(number, actions), range(CLIENTS)))
        ledger.fail_if_wrong()
        if ledger.refused or ledger.broken:
            ledger.wrong.append(f"{ledger.refused} messages were refused, {ledger.broken} answers never came")
        account = ledger.settle(folder / "attachments")
        if account.orphans:
            ledger.wrong.append(f"{account.orphans} files were left behind")
        ledger.fail_if_wrong()
    tell(f"{database}, {CLIENTS} clients, seed {seed}: {account}; {sum(c.done for c in clients)} views and deletions")


if __name__ == "__main__":
    options = parsed(__doc__, DATABASES)
    if options.on is None:
        sys.exit(on_each("tests.robustness.concurrency", DATABASES, options))
    sys.exit(status_of(partial(attack, options.on, ACTIONS["long" if options.long else "short"], options.seed)))
