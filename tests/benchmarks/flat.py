"""How long each thing takes with ten million messages, beside ten thousand: ``python -m tests.benchmarks.flat``.

It fills two PostgreSQL databases of its own by COPY, on the server that its argument names. For each thing it prints
both times in milliseconds, measured in turn, the second divided by the first, and what in the plans of its queries is
not flat: a sequential scan, or a sort of more than a page. In the end it deletes the user of a tenth of all messages
and prints how much memory that took.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.live import prepared
from tests.support.databases import POSTGRESQL
from tests.support.memory import forget_peak, peak

MESSAGES = 10_000, 10_000_000
ROUNDS = 30
PAGE = 10
LARGEST_PAGE = 2 * 50 + 1
"""Of what the admin puts together from two sides, and one more to know whether there is another page."""
BUSY, OTHER = 1, 2
"""The user of a tenth of all messages, and who is in half of those."""
START = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Size:
    """How many messages there are, and between whom."""

    messages: int

    @property
    def users(self) -> int:
        return self.messages // 100

    def conversations(self) -> Iterator[tuple[int, int, int]]:
        """Yield two users and the number of messages between them: one in twenty of all, and ten for most."""
        yield BUSY, OTHER, self.messages // 20
        others = max(self.messages // 10_000, 50)
        for other in range(others):
            yield BUSY, OTHER + 1 + other, self.messages // 20 // others
        people = self.users - OTHER
        for turn in range(self.messages * 9 // 10 // PAGE):
            distance, one = divmod(turn, people)
            yield OTHER + 1 + one, OTHER + 1 + (one + distance + 1) % people, PAGE


def fill(size: Size) -> str:
    """Fill the tables of the database in use, and return the key to ask with."""
    from django.db import connection

    from ossn_messaging.models import APIKey, Conversation, Message

    _api_key, key = APIKey.objects.create_key("benchmark")
    with connection.schema_editor() as editor:
        for index in Message._meta.indexes:
            editor.remove_index(Message, index)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "INSERT INTO auth_user (id, username, password, is_superuser, is_staff, is_active, first_name, last_name,"
            " email, date_joined) SELECT n, 'user' || n, '', n = 1, n = 1, true, '', '', '', now()"
            " FROM generate_series(1, %s) n",
            [size.users],
        )
        copy(cursor, Message, messages(size))
        copy(cursor, Conversation, sides(size))
        cursor.execute(
            "INSERT INTO ossn_messaging_attachment (message_id, file, name, content_type, size, digest)"
            " SELECT id, 'attachment/' || id || '.pdf', 'letter.pdf', 'application/pdf', 1000, ''"
            " FROM ossn_messaging_message WHERE id % 100 = 0"
        )
        for model in (Message, Conversation):
            table = model._meta.db_table
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
        cursor.execute("SET session_replication_role = origin")
    with connection.schema_editor() as editor:
        for index in Message._meta.indexes:
            editor.add_index(Message, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return key


Row = tuple[Any, ...]


def messages(size: Size) -> Iterator[Row]:
    """Yield the messages, those of each conversation spread over all the years."""
    number = itertools.count(1)
    for one, other, count in size.conversations():
        for position in range(1, count + 1):
            pair = (one, other) if position % 3 else (other, one)
            at = START + timedelta(seconds=position * 20)
            yield next(number), *pair, "words " * 20, None, at, position, "f", "f", None


def sides(size: Size) -> Iterator[Row]:
    """Yield both sides of the conversations; nobody has read anything."""
    number = itertools.count(1)
    for one, other, count in size.conversations():
        at = START + timedelta(seconds=count * 20)
        for sender, recipient, received in ((one, other, count // 3), (other, one, count - count // 3)):
            yield next(number), sender, recipient, count, count, received, 0, count, at, 1, "f"


def copy(cursor: Any, model: Any, rows: Iterator[Row]) -> None:
    columns = ", ".join(field.column for field in model._meta.concrete_fields)
    with cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN") as table:
        for row in rows:
            table.write_row(row)


def use(database: str) -> None:
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = database


@contextmanager
def databases() -> Iterator[list[str]]:
    """Yield the names of two databases with the tables and without a row."""
    from django.db import connection

    names = [str(connection.settings_dict["NAME"]) + suffix for suffix in ("", "_large")]
    use("postgres")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {names[1]} TEMPLATE {names[0]}")
    try:
        yield names
    finally:
        use("postgres")
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {names[1]}")
        use(names[0])


def things(size: Size, key: str) -> dict[str, Callable[[], Any]]:
    """Return what is measured; each call does it once."""
    from django.contrib.auth.models import User
    from django.test import Client

    from tests.support.api import upload
    from tests.support.files import PDF

    client, staff = Client(), Client()
    staff.force_login(User.objects.get(pk=BUSY))
    turns = itertools.count()

    def ask(path: str, **parameters: Any) -> Any:
        answer = client.post(f"/api/v2.0/message/{path}", {"api_key_token": key, **parameters}).json()
        if answer["code"] != "100":
            raise RuntimeError(answer["message"])
        return answer["payload"]

    def look(path: str) -> None:
        if staff.get(f"/admin/ossn_messaging/message/{path}").status_code != 200:
            raise RuntimeError(path)

    def poll() -> Any:
        cursors[0] = ask("updates", **mine, after=cursors[0])["after"]

    pair = {"from": BUSY, "to": OTHER, "message": "words"}
    mine, between = {"guid": BUSY}, {"guid": BUSY, "to": OTHER}
    half = size.messages // 40
    first = 1 + half
    start = time.perf_counter()
    cursors = [ask("updates", **mine)["after"]]
    sys.stdout.write(f"the first cursor of all: {(time.perf_counter() - start) * 1000:.1f} ms\n")
    return {
        "send": lambda: ask("send", **pair),
        "send, to someone new": lambda: ask("send", **pair | {"from": OTHER, "to": size.users - next(turns)}),
        "send a file": lambda: ask("send", **pair, attachment=upload("letter.pdf", PDF)),
        "list": lambda: ask("list", **between),
        "list, a page in the middle": lambda: ask("list", **between, offset=half // PAGE),
        "list, before one in the middle": lambda: ask("list", **between, before=first),
        "new": lambda: ask("new", guid=0, **{"from": OTHER, "to": BUSY}),
        "new, a page in the middle": lambda: ask("new", **{"from": OTHER, "to": BUSY}, offset=half // PAGE // 4),
        "recent": lambda: ask("recent", **mine),
        "recent, fifth page": lambda: ask("recent", **mine, offset=5),
        "unread": lambda: ask("unread", **mine),
        "list, after one in the middle": lambda: ask("list", **between, after=first),
        "updates, nothing new": poll,
        "updates, a cursor of now": lambda: ask("updates", **mine),
        "send, and updates with the message": lambda: (ask("send", **pair), poll()),
        "mark as read, and updates of the other": lambda: (
            ask("send", **pair),
            ask("list", guid=OTHER, to=BUSY, markallread=1),
            poll(),
        ),
        "mark as read": lambda: ask("list", **between, markallread=1),
        "delete for oneself": lambda: ask("delete", **mine, id=first + next(turns), **{"for": "me"}),
        "delete for both": lambda: ask("delete", guid=BUSY, id=ask("send", **pair)["id"], **{"for": "all"}),
        "admin: list": lambda: look(""),
        "admin: messages of a user": lambda: look(f"?q=user{BUSY}"),
        "admin: conversation": lambda: look(f"conversation/{BUSY}/{OTHER}/"),
    }


def unflat(work: Callable[[], Any]) -> set[str]:
    """Return what the plans of its queries have that grows with the tables."""
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as context:
        work()
    found = set()
    for query in context:
        sql = query["sql"]
        if sql.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
                plan = cursor.fetchone()[0]
                transaction.set_rollback(True)
            plan = json.loads(plan) if isinstance(plan, str) else plan
            found |= {f"{what}: {sql[:150]}" for what in steps(plan[0]["Plan"])}
    return found


def steps(plan: dict[str, Any]) -> Iterator[str]:
    rows = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    if rows > LARGEST_PAGE and plan["Node Type"] in ("Seq Scan", "Sort"):
        yield f"{plan['Node Type']} of {rows} rows"
    for step in plan.get("Plans", ()):
        yield from steps(step)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flat", description=__doc__)
    parser.add_argument("--messages", type=int, nargs=2, default=MESSAGES, metavar=("FEW", "MANY"))
    parser.add_argument("database_url", nargs="?", default=POSTGRESQL)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder), options.database_url), databases() as names:
        measured = []
        for name, number in zip(names, options.messages, strict=True):
            use(name)
            start = time.perf_counter()
            size = Size(number)
            measured.append(things(size, fill(size)))
            sys.stdout.write(f"{number} messages were there after {time.perf_counter() - start:.0f} s\n")
            sys.stdout.flush()
        for label in measured[0]:
            times: list[list[float]] = [[], []]
            for _ in range(3):
                for name, work, taken in zip(names, measured, times, strict=True):
                    use(name)
                    work[label]()
                    for _turn in range(ROUNDS // 3):
                        start = time.perf_counter()
                        work[label]()
                        taken.append((time.perf_counter() - start) * 1000)
            few, many = map(statistics.median, times)
            sys.stdout.write(f"{label:35} {few:7.1f} {many:7.1f} {many / few:6.2f}\n")
            for what in sorted(unflat(measured[1][label])):
                sys.stdout.write(f"    {what}\n")
            sys.stdout.flush()
        delete_the_busy()


def delete_the_busy() -> None:
    from django.contrib.auth.models import User

    forget_peak()
    before, start = peak(), time.perf_counter()
    _count, deleted = User.objects.get(pk=BUSY).delete()
    number = deleted["ossn_messaging.Message"]
    taken, rise = time.perf_counter() - start, (peak() - before) / 1024**2
    sys.stdout.write(f"deleting the user of {number} messages: {taken:.0f} s, {rise:.0f} MiB more memory\n")


if __name__ == "__main__":
    main()
