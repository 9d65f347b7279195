"""Many clients at once in the same conversations: ``python -m tests.robustness.concurrency [--long]``.

They send to one recipient, and both ways between two users; they read, mark as viewed, and delete. None of it fails,
ids, positions and times grow in one order, and what is kept of each conversation is what a full count says. Clients
that do nothing but poll are told of each message once, and know in the end what the server knows.
"""

import json
import random
import sys
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
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


class Phone(Client):
    """A client that knows the messages of a user from polls alone."""

    def __init__(self, site: Site, ledger: Ledger, user: int) -> None:
        super().__init__(site, ledger)
        self.user = user
        self.messages: dict[int, dict[str, Any]] = {}
        self.told: Counter[int] = Counter()
        self.polls = 0
        self.after = str((self.poll() or {}).get("after", ""))

    def poll(self, **parameters: str) -> dict[str, Any] | None:
        """Return the payload of an answer."""
        self.polls += 1
        answer = self.ask(self.request(f"{V2}/updates", guid=self.user, **parameters))
        if answer is None or complaint(answer) or json.loads(answer.body)["code"] != "100":
            self.ledger.wrong.append(f"updates of {self.user} after {self.after}: {answer}")
            return None
        payload: dict[str, Any] = json.loads(answer.body)["payload"]
        return payload

    def run(self, stop: Event) -> None:
        """Poll until the others have stopped."""
        while not stop.is_set() and self.go_on():
            pass

    def catch_up(self) -> None:
        """Poll until nothing is new, alone: a poll skips what another one has locked at that moment."""
        while (payload := self.go_on()) and payload["more"]:
            pass
        self.close()

    def go_on(self) -> dict[str, Any] | None:
        payload = self.poll(after=self.after)
        if payload:
            self.note(payload)
        return payload

    def note(self, payload: dict[str, Any]) -> None:
        self.after = payload["after"]
        for message in payload["list"] or []:
            self.messages[message["id"]] = message
            self.told[message["id"]] += 1
        for read in payload["read"] or []:
            for message in self.messages.values():
                if message["message_to"] == read["guid"] and message["id"] <= read["id"]:
                    message["viewed"] = "1"
        for deletion in payload["deleted"] or []:
            if deletion["for"] == "me":
                self.messages.pop(deletion["id"], None)
            elif deletion["id"] in self.messages:
                self.messages[deletion["id"]]["message"] = ""

    def fail_if_wrong(self) -> None:
        from ossn_messaging.api.serializers import formatted
        from ossn_messaging.models import Conversation, Message

        known = {
            message["id"]: (message["message"], message["viewed"] if message["message_from"] == self.user else "")
            for message in self.messages.values()
        }
        read_up_to = dict(Conversation.objects.filter(other_user=self.user).values_list("user", "last_read_sequence"))
        sent = Message.objects.filter(sender=self.user, deleted_by_sender=False)
        received = Message.objects.filter(recipient=self.user, deleted_by_recipient=False)
        kept = {message.pk: (formatted(message.text), "") for message in received}
        for message in sent:
            viewed = "1" if message.sequence <= read_up_to[message.recipient_id] else "0"
            kept[message.pk] = (formatted(message.text), viewed)
        if known != kept:
            wrong = sorted(number for number in known.keys() | kept.keys() if known.get(number) != kept.get(number))
            numbers = [(number, known.get(number), kept.get(number)) for number in wrong[:5]]
            self.ledger.wrong.append(f"user {self.user} does not know what the server knows: {len(wrong)} {numbers}")
        if twice := [number for number, times in self.told.items() if times > 1]:
            self.ledger.wrong.append(f"user {self.user} was told twice of {twice}")


def attack(database: str, actions: int, seed: int, folder: Path) -> None:
    ledger, deletions = Ledger(), deque[dict[str, Any]]()
    with (
        prepared(folder, url_of(database)),
        gunicorn(folder, workers=4, threads=8, port=free_port()) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
        ThreadPoolExecutor() as phone_pool,
    ):
        site = Site.made(server.port, CLIENTS + 3)
        phones = [Phone(site, ledger, user) for user in site.users[:3] for _ in range(2)]
        stop = Event()
        polling = [phone_pool.submit(phone.run, stop) for phone in phones]
        clients = [Busy(site, ledger, random.Random(f"{seed} {number}"), deletions) for number in range(CLIENTS)]
        try:
            list(pool.map(lambda number: clients[number].do(number, actions), range(CLIENTS)))
        finally:
            stop.set()
        for poll in polling:
            poll.result()
        for phone in phones:
            phone.catch_up()
            phone.fail_if_wrong()
        ledger.fail_if_wrong()
        if ledger.refused or ledger.broken:
            ledger.wrong.append(f"{ledger.refused} messages were refused, {ledger.broken} answers never came")
        account = ledger.settle(folder / "attachments")
        if account.orphans:
            ledger.wrong.append(f"{account.orphans} files were left behind")
        ledger.fail_if_wrong()
    done, polls = sum(client.done for client in clients), sum(phone.polls for phone in phones)
    told = sum(phone.told.total() for phone in phones)
    work = f"{done} views and deletions; {told} messages told by {polls} polls"
    tell(f"{database}, {CLIENTS} clients, seed {seed}: {account}; {work}")


if __name__ == "__main__":
    options = parsed(__doc__, DATABASES)
    if options.on is None:
        sys.exit(on_each("tests.robustness.concurrency", DATABASES, options))
    sys.exit(status_of(partial(attack, options.on, ACTIONS["long" if options.long else "short"], options.seed)))
