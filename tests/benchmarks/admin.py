"""How long each page on messages of the admin takes with a thousand messages, and with a million.

It makes a PostgreSQL database of its own, beside the one that DATABASE_URL names. Run it from the root of the
repository: ``DATABASE_URL=postgres://postgres@127.0.0.1/test python -m tests.benchmarks.admin``. For each page it
prints both times in milliseconds, the second divided by the first, and how many queries it made.
"""

import os
import sys
import time

import django
from django.conf import settings

from tests.support.databases import new_database

ROUNDS = 15
MESSAGES = 1_000, 1_000_000
USERS = 1_000
"""The first of them is in nearly half of the messages, the last in the fifth that is the oldest and in no other."""

FILL = """
INSERT INTO auth_user (id, username, password, is_superuser, is_staff, is_active, first_name, last_name, email,
    date_joined)
SELECT n, 'user' || n, '', false, false, true, '', '', 'user' || n || '@example.com', now()
FROM generate_series(1, {users}) n;

INSERT INTO ossn_messaging_apikey (id, name, digest, scopes, is_restricted, created_at)
SELECT n, 'key' || n, n, '[]', false, now() FROM generate_series(1, 3) n;

-- Key 1 sent most, key 2 the fifth that is the oldest, key 3 none. Of what is rare there are two hundred each.
INSERT INTO ossn_messaging_message (id, sender_id, recipient_id, text, api_key_id, created_at, sequence,
    deleted_by_sender, deleted_by_recipient, deleted_at)
SELECT n, CASE WHEN turned THEN other ELSE one END, CASE WHEN turned THEN one ELSE other END,
    CASE WHEN n % {rare} = 1 THEN '' ELSE repeat('words ', 20) END,
    CASE WHEN n <= {messages} / 5 THEN 2 WHEN n % 10 > 0 THEN 1 END,
    now() - greatest({messages} - n - 100, 0) * interval '3 years' / {messages},
    row_number() OVER (PARTITION BY one, other ORDER BY n), n % {rare} = 2, n % {rare} = 3,
    CASE WHEN n % {rare} = 1 THEN now() END
FROM (
    SELECT n, n / 2 % 3 = 0 AS turned,
        CASE WHEN n <= {messages} / 5 THEN {users} WHEN n % 2 = 0 THEN 1 ELSE 2 + n % 97 END AS one,
        CASE WHEN n % 4 = 0 THEN 100 ELSE 100 + n % 800 * 7919 % 800 END AS other
    FROM generate_series(1, {messages}) n
) numbered;

INSERT INTO ossn_messaging_conversation (user_id, other_user_id, sequence, message_count, unread_count,
    last_read_sequence, last_sequence, last_message_at)
SELECT side, least(sender_id, recipient_id) + greatest(sender_id, recipient_id) - side, max(sequence), count(*), 0,
    max(sequence), max(sequence), max(created_at)
FROM ossn_messaging_message, LATERAL (VALUES (sender_id), (recipient_id)) sides (side)
GROUP BY side, least(sender_id, recipient_id), greatest(sender_id, recipient_id);

INSERT INTO ossn_messaging_attachment (message_id, file, name, content_type, size, digest)
SELECT id, 'attachment/' || id || '.pdf', 'letter.pdf', 'application/pdf', 1000, '' FROM ossn_messaging_message
WHERE id % 5 = 0 AND deleted_at IS NULL;

ANALYZE;
"""


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    from django.db import connection

    if connection.vendor != "postgresql":
        sys.exit("DATABASE_URL must name a PostgreSQL database.")
    results = []
    for messages in MESSAGES:
        with new_database():
            with connection.cursor() as cursor:
                cursor.execute(FILL.format(messages=messages, users=USERS, rare=messages // 200))
                cursor.execute("VACUUM ANALYZE")
            results.append(measured(messages))
    for label, (few, _queries) in results[0].items():
        many, queries = results[1][label]
        sys.stdout.write(f"{label:45} {few:7.1f} {many:7.1f} {many / few:6.2f} {queries:3}\n")


def pages(messages: int) -> dict[str, str]:
    """Return the paths of what is measured, by what to call them."""
    far = messages // 3
    lists = {
        "list": "",
        "list, second page": f"before={messages - 49}",
        "list, far page": f"before={far}",
        "list, back from a far page": f"after={far}",
        "today": "sent=today",
        "a year": f"sent={time.gmtime().tm_year - 1}",
        "a year, far page": f"sent={time.gmtime().tm_year - 2}&before={far}",
        "with attachment": "attachment=yes",
        "with attachment, far page": f"attachment=yes&before={far}",
        "without attachment": "attachment=no",
        "viewed": "state=viewed",
        "not viewed, which none is": "state=unviewed",
        "deleted by one side": "state=one",
        "deleted for both": "state=both",
        "deleted for both, far page": f"state=both&before={far}",
        "key of most": "key=1",
        "key of the oldest messages": "key=2",
        "key of none": "key=3",
        "deleted, of a key": "state=both&key=2",
        "deleted, of a key that sent none": "state=both&key=3",
        "not viewed, of a year": f"state=unviewed&sent={time.gmtime().tm_year - 1}",
        "ID": f"q={far}",
        "user of most messages": "q=user1",
        "user of most messages, far page": f"q=user1&before={far}",
        "user of most messages, not viewed": "q=user1&state=unviewed",
        "user of the oldest messages": f"q=user{USERS}",
        "beginning of names": "q=user",
        "name of nobody": "q=nobody",
        "e-mail address": "q=user1@example.com",
        "two users": "q=user1+user100",
        "two users, one of several": "q=user10+use",
    }
    thread = "conversation/1/100/"
    return {label: f"?{query}" for label, query in lists.items()} | {
        "page of a message": f"{far}/change/",
        "conversation of a fifth of all": thread,
        "conversation, far page": f"{thread}?before={messages // 16}",
        "conversation, back from a far page": f"{thread}?after={messages // 16}",
    }


def measured(messages: int) -> dict[str, tuple[float, int]]:
    """Return for each page the best of its times, in milliseconds, and how many queries it made."""
    from django.contrib.auth.models import Permission, User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    moderator = User.objects.create_user("moderator", pk=USERS + 1, is_staff=True)
    names = ["view_message", "read_message", "moderate_message", "view_apikey", "view_user"]
    moderator.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(moderator)
    found = {}
    for label, path in pages(messages).items():
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            response = client.get(f"/admin/ossn_messaging/message/{path}", follow=True)
            times.append((time.perf_counter() - start) * 1000)
            if response.status_code != 200:
                raise RuntimeError(f"{label}: {response.status_code}")
        with CaptureQueriesContext(connection) as context:
            client.get(f"/admin/ossn_messaging/message/{path}", follow=True)
        found[label] = (min(times), len(context))
    return found


if __name__ == "__main__":
    main()
