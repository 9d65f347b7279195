"""Who gets in where: tables in which the expected answer stands in every cell.

Each row is who asks, each column what for. Who is outside gets to the last byte what is answered for what is not there.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.api.signing import sign
from ossn_messaging.models import APIKey, Attachment, Message
from tests.support import new_project
from tests.support.api import API, fetch, upload
from tests.support.files import PDF
from tests.support.storage import keep_attachments_in

TEXT = "what nobody else should read"
MISSING = 10**6
"""The number of no message and of no attachment."""

Table = Mapping[str, Mapping[str, str]]


def table(text: str) -> Table:
    """Read a table: a line of columns, and lines of rows, whose cells have two spaces or more between them."""
    head, *lines = (re.split(r"\s{2,}", line.strip()) for line in text.strip("\n").splitlines())
    assert all(len(line) == len(head) + 1 for line in lines)
    return {name: dict(zip(head, cells, strict=True)) for name, *cells in lines}


@dataclass
class World:
    """A message with a file, after another with none, and all who would like to have it."""

    api: API
    third: User
    message: Message
    attachment: Attachment
    keys: Mapping[str, str]
    signatures: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> Mapping[str, User]:
        return {"sender": self.api.sender, "recipient": self.api.recipient, "third": self.third}

    @property
    def path(self) -> str:
        return f"/messages/attachment/{self.attachment.pk}/{self.attachment.name}"


def keys_for(api: API, third: User) -> dict[str, str]:
    """Make every kind of key that there is."""

    def made(scopes: tuple[str, ...] = ("send", "read"), users: tuple[User, ...] = (), **options: Any) -> str:
        return APIKey.objects.create_key("a key", scopes, users, **options)[1]

    def revoked() -> str:
        api_key, key = APIKey.objects.create_key("a key")
        api_key.revoke()
        return key

    sender, recipient, leaver = api.sender, api.recipient, User.objects.create_user("leaver")
    keys = {
        "key": made(),
        "key to send": made(("send",)),
        "key to read": made(("read",)),
        "key to nothing": made(()),
        "key of sender": made(users=(sender,)),
        "key of recipient": made(users=(recipient,)),
        "key of both": made(users=(sender, recipient)),
        "key of third": made(users=(third,)),
        "sender's to send": made(("send",), (sender,)),
        "sender's to read": made(("read",), (sender,)),
        "key of leaver": made(users=(leaver,)),
        "revoked key": revoked(),
        "expired key": made(expires_at=timezone.now() - timedelta(seconds=1)),
        "unknown key": "ossn_" + "k" * 43,
    }
    leaver.delete()
    live = keys["key"]
    return keys | {"nearly a key": live[:-1] + ("A" if live[-1] != "A" else "B"), "key in capitals": live.upper()}


def signatures_for(attachment: Attachment, other: Attachment) -> dict[str, str]:
    """Make a signature for each side, and what somebody might make of it."""
    sides = attachment.message.sender_id, attachment.message.recipient_id
    mine, theirs = (sign(attachment, user_id) for user_id in sides)
    side, moment, seal = mine.split(":")
    with patch("django.core.signing.time.time", return_value=time.time() - 24 * 60 * 60 - 1):
        old = sign(attachment, sides[0])
    with patch("django.core.signing.TimestampSigner.sign", lambda self, value: f"{value}:{moment}:"):
        unsealed = sign(attachment, sides[0])
    return {
        "signature for the sender": mine,
        "signature for the recipient": theirs,
        "expired signature": old,
        "signature with another seal": f"{side}:{moment}:{seal[:-1]}{'A' if seal[-1] != 'A' else 'B'}",
        "signature with another time": f"{side}:{moment[:-1]}{'A' if moment[-1] != 'A' else 'B'}:{seal}",
        "signature with another side": f"to:{moment}:{seal}",
        "signature with no side": f":{moment}:{seal}",
        "signature without a seal": unsealed,
        "signature of another file": sign(other, sides[0]),
        "old time with a new seal": f"{side}:{old.split(':')[1]}:{seal}",
        "empty signature": "",
    }


@pytest.fixture
def world(api: API, stranger: User) -> World:
    Message.objects.send(sender=api.sender, recipient=api.recipient, text="before")
    message = Message.objects.send(sender=api.sender, recipient=api.recipient, text=TEXT, upload=upload("dummy.pdf"))
    return World(api, stranger, message, message.attachment, keys_for(api, stranger))


@pytest.fixture(autouse=True)
def a_plain_site(settings: Settings) -> None:
    """Let it have the middleware that ``startproject`` gives it, and no more, of which some sees to every request."""
    settings.MIDDLEWARE = new_project.MIDDLEWARE


def somebody(name: str, *permissions: str, **options: Any) -> User:
    user, _created = User.objects.get_or_create(username=name, defaults=options)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def session_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def staff_of(who: str) -> User | None:
    """Return who is meant by a row that tells of permissions."""
    match who.split(", "):
        case ["staff", *permissions]:
            return somebody(who, *(f"{verb}_message" for verb in permissions if verb), is_staff=True)
        case ["no staff", *permissions]:
            return somebody(who, *(f"{verb}_message" for verb in permissions))
        case ["superuser"]:
            return somebody(who, is_staff=True, is_superuser=True)
        case ["superuser who is no staff"]:
            return somebody(who, is_superuser=True)
        case ["superuser who left"]:
            return somebody(who, is_staff=True, is_superuser=True, is_active=False)
    return None


def visible(response: Any, body: bytes, *masked: object) -> tuple[Any, ...]:
    """Return all that a client sees of an answer but the time, and the numbers that it has asked for itself."""
    shown = re.sub(rb'"time_token": \d+', b"", body)
    for number in masked:
        shown = shown.replace(str(number).encode(), b"N")
    return response.status_code, sorted(response.headers.items()), sorted(response.cookies), shown


# Files

DISK, S3, ACCEL, OTHER = "disk", "S3", "X-Accel", "another storage of Django's"
storages = pytest.mark.parametrize(
    ("where", "kind"), [(DISK, DISK), (S3, S3), (DISK, ACCEL), (DISK, OTHER)], indirect=["where"]
)

# On each storage, by GET and by HEAD. What one side deletes is gone for that side; what both did, and what its sender
# did for both, for all; and with the message goes its file.
FILES = table("""
                                 there   by sender   by recipient   by each   for both   gone
    nobody                       -       -           -              -         -          -
    another user                 -       -           -              -         -          -
    the sender                   file    -           file           -         -          -
    the recipient                file    file        -              -         -          -
    the sender who left          -       -           -              -         -          -
    staff                        -       -           -              -         -          -
    staff, view                  -       -           -              -         -          -
    staff, view, moderate        -       -           -              -         -          -
    staff, read                  file    file        file           -         -          -
    no staff, read               -       -           -              -         -          -
    superuser                    file    file        file           -         -          -
    superuser who is no staff    -       -           -              -         -          -
    superuser who left           -       -           -              -         -          -
    a session that is none       -       -           -              -         -          -
    key                          file    file        file           -         -          -
    key to send                  -       -           -              -         -          -
    key to read                  file    file        file           -         -          -
    key to nothing               -       -           -              -         -          -
    key of sender                file    -           file           -         -          -
    key of recipient             file    file        -              -         -          -
    key of both                  file    file        file           -         -          -
    key of third                 -       -           -              -         -          -
    sender's to send             -       -           -              -         -          -
    sender's to read             file    -           file           -         -          -
    key of leaver                -       -           -              -         -          -
    revoked key                  -       -           -              -         -          -
    expired key                  -       -           -              -         -          -
    unknown key                  -       -           -              -         -          -
    nearly a key                 -       -           -              -         -          -
    key in capitals              -       -           -              -         -          -
    signature for the sender     file    -           file           -         -          -
    signature for the recipient  file    file        -              -         -          -
    expired signature            -       -           -              -         -          -
    signature with another seal  -       -           -              -         -          -
    signature with another time  -       -           -              -         -          -
    signature with another side  -       -           -              -         -          -
    signature with no side       -       -           -              -         -          -
    signature without a seal     -       -           -              -         -          -
    signature of another file    -       -           -              -         -          -
    old time with a new seal     -       -           -              -         -          -
    empty signature              -       -           -              -         -          -
""")

STATES: Mapping[str, Callable[[Any, World], object]] = {
    "there": lambda messages, world: None,
    "by sender": lambda messages, world: messages.delete_for(world.api.sender),
    "by recipient": lambda messages, world: messages.delete_for(world.api.recipient),
    "by each": lambda messages, world: [messages.delete_for(world.user[side]) for side in ("sender", "recipient")],
    "for both": lambda messages, world: messages.delete_for_both(),
    "gone": lambda messages, world: messages.delete(),
}


def asker(who: str, world: World) -> tuple[Client, dict[str, str], str]:
    """Return a client, and the headers and the query with which it asks."""
    if who in world.keys:
        return Client(), {"Authorization": f"Api-Key {world.keys[who]}"}, ""
    if who in world.signatures:
        return Client(), {}, f"?{urlencode({'signature': world.signatures[who]})}"
    if who == "a session that is none":
        return Client(headers={"Cookie": "sessionid=" + "0" * 32}), {}, ""
    users = {
        "another user": world.third,
        "the sender": world.api.sender,
        "the sender who left": world.api.sender,
        "the recipient": world.api.recipient,
    }
    user = users.get(who) or staff_of(who)
    assert user or who == "nobody"
    return session_of(user) if user else Client(), {}, ""


def seen(client: Client, path: str, method: str, headers: dict[str, str], accel: bool, stored: str) -> tuple[str, Any]:
    """Return ``file`` where the file was given out, else ``-``, and all that was visible."""
    if method == "GET" and not accel:
        response, body = fetch(client, path, headers=headers)
    else:
        response = client.generic(method, path, headers=headers)
        body = response.getvalue()
    shown = visible(response, body, MISSING)
    if response.status_code == 404:
        assert PDF not in body
        assert not {"X-Accel-Redirect", "Location", "ETag", "Content-Disposition"} & set(response.headers)
        return "-", shown
    if accel:
        assert response["X-Accel-Redirect"] == f"/protected/{stored}"
    elif response.status_code == 302:
        assert f"/{stored}?" in response["Location"]
    else:
        assert response["Content-Length"] == str(len(PDF))
    if method == "GET" and not accel:
        assert body == PDF
    return "file", shown


@storages
@pytest.mark.parametrize("state", STATES)
def test_files(world: World, settings: Settings, tmp_path: Path, kind: str, state: str) -> None:
    accel = kind == ACCEL
    if accel:
        settings.OSSN_MESSAGING = {"X_ACCEL_REDIRECT": "/protected/"}
    elif kind == OTHER:
        location = str(tmp_path / "ossn_attachments")
        keep_attachments_in(settings, "django.core.files.storage.FileSystemStorage", location=location)
    other = Message.objects.send(sender=world.api.sender, recipient=world.third, text="x", upload=upload("dummy.pdf"))
    world.signatures = signatures_for(world.attachment, other.attachment)
    path, stored = world.path, str(world.attachment.file.name)
    nowhere = path.replace(f"/{world.attachment.pk}/", f"/{MISSING}/")
    askers = {who: asker(who, world) for who in FILES}
    STATES[state](Message.objects.filter(pk=world.message.pk), world)
    for method in ("GET", "HEAD"):
        found = {}
        for who, (client, headers, query) in askers.items():
            User.objects.filter(pk=world.api.sender.pk).update(is_active=who != "the sender who left")
            found[who], shown = seen(client, path + query, method, headers, accel, stored)
            if found[who] == "-":
                _none, missing = seen(client, nowhere + query, method, headers, accel, stored)
                assert shown == missing, f"{who} can tell what is closed from what is not there"
        assert found == {who: cells[state] for who, cells in FILES.items()}, method


# The API

# What each endpoint answers, to a key and as whom it acts, by POST and by GET. ``text`` shows the message, ``empty``
# shows none, numbers are of unread messages; ``sent`` and ``gone`` are what was done, and ``none`` says that the user
# has no such message. Else it is what is refused: the ``key``, its ``scope``, or the ``user``.
API_KEYS = table("""
                                send   add    list   list1  new    new1   last   last1  unread  del    me     del1
    nobody / sender             key    key    key    key    key    key    key    key    key     key    key    key
    session / sender            key    key    key    key    key    key    key    key    key     key    key    key
    superuser / sender          key    key    key    key    key    key    key    key    key     key    key    key
    signature / sender          key    key    key    key    key    key    key    key    key     key    key    key
    unknown key / sender        key    key    key    key    key    key    key    key    key     key    key    key
    nearly a key / sender       key    key    key    key    key    key    key    key    key     key    key    key
    key in capitals / sender    key    key    key    key    key    key    key    key    key     key    key    key
    revoked key / sender        key    key    key    key    key    key    key    key    key     key    key    key
    expired key / sender        key    key    key    key    key    key    key    key    key     key    key    key
    key / sender                sent   sent   text   text   empty  empty  text   text   0       gone   gone   gone
    key / recipient             sent   sent   text   text   text   text   text   text   2       none   gone   none
    key / third                 sent   sent   empty  empty  empty  empty  empty  empty  0       none   none   none
    key to send / sender        sent   sent   scope  scope  scope  scope  scope  scope  scope   gone   gone   gone
    key to send / recipient     sent   sent   scope  scope  scope  scope  scope  scope  scope   none   gone   none
    key to send / third         sent   sent   scope  scope  scope  scope  scope  scope  scope   none   none   none
    key to read / sender        scope  scope  text   text   empty  empty  text   text   0       scope  scope  scope
    key to read / recipient     scope  scope  text   text   text   text   text   text   2       scope  scope  scope
    key to read / third         scope  scope  empty  empty  empty  empty  empty  empty  0       scope  scope  scope
    key to nothing / sender     scope  scope  scope  scope  scope  scope  scope  scope  scope   scope  scope  scope
    key of sender / sender      sent   sent   text   text   empty  empty  text   text   0       gone   gone   gone
    key of sender / recipient   user   user   user   user   user   user   user   user   user    user   user   user
    key of sender / third       user   user   user   user   user   user   user   user   user    user   user   user
    key of recipient / sender   user   user   user   user   user   user   user   user   user    user   user   user
    key of recipient / recipient  sent  sent  text   text   text   text   text   text   2       none   gone   none
    key of recipient / third    user   user   user   user   user   user   user   user   user    user   user   user
    key of both / sender        sent   sent   text   text   empty  empty  text   text   0       gone   gone   gone
    key of both / recipient     sent   sent   text   text   text   text   text   text   2       none   gone   none
    key of both / third         user   user   user   user   user   user   user   user   user    user   user   user
    key of third / sender       user   user   user   user   user   user   user   user   user    user   user   user
    key of third / recipient    user   user   user   user   user   user   user   user   user    user   user   user
    key of third / third        sent   sent   empty  empty  empty  empty  empty  empty  0       none   none   none
    sender's to send / sender   sent   sent   scope  scope  scope  scope  scope  scope  scope   gone   gone   gone
    sender's to send / third    user   user   scope  scope  scope  scope  scope  scope  scope   user   user   user
    sender's to read / sender   scope  scope  text   text   empty  empty  text   text   0       scope  scope  scope
    sender's to read / third    scope  scope  user   user   user   user   user   user   user    scope  scope  scope
    key of leaver / sender      user   user   user   user   user   user   user   user   user    user   user   user
    key of leaver / third       user   user   user   user   user   user   user   user   user    user   user   user
""")

# What a key that may do all sees of a message that was deleted: ``mark`` shows that there was one, and no more.
API_STATES = table("""
                        there  by sender  by recipient  by each  for both  gone
    list / sender       text   empty      text          empty    mark      empty
    list1 / sender      text   empty      text          empty    mark      empty
    new / sender        empty  empty      empty         empty    empty     empty
    new1 / sender       empty  empty      empty         empty    empty     empty
    last / sender       text   empty      text          empty    mark      empty
    last1 / sender      text   empty      text          empty    mark      empty
    unread / sender     0      0          0             0        0         0
    del / sender        gone   gone       gone          none     gone      none
    del1 / sender       gone   gone       gone          none     gone      none
    me / sender         gone   none       gone          none     gone      none
    list / recipient    text   text       empty         empty    mark      empty
    list1 / recipient   text   text       empty         empty    mark      empty
    new / recipient     text   text       empty         empty    mark      empty
    new1 / recipient    text   text       empty         empty    mark      empty
    last / recipient    text   text       empty         empty    mark      empty
    last1 / recipient   text   text       empty         empty    mark      empty
    unread / recipient  2      2          1             1        2         1
    del / recipient     none   none       none          none     none      none
    del1 / recipient    none   none       none          none     none      none
    me / recipient      gone   gone       none          none     gone      none
    list / third        empty  empty      empty         empty    empty     empty
    new / third         empty  empty      empty         empty    empty     empty
    last / third        empty  empty      empty         empty    empty     empty
    unread / third      0      0          0             0        0         0
    del / third         none   none       none          none     none      none
    del1 / third        none   none       none          none     none      none
    me / third          none   none       none          none     none      none
""")

PATHS = {
    "send": "v2.0/message/send",
    "add": "v1.0/message_add",
    "list": "v2.0/message/list",
    "list1": "v1.0/message_list",
    "new": "v2.0/message/new",
    "new1": "v1.0/message_new",
    "last": "v2.0/message/recent",
    "last1": "v1.0/message_recent",
    "unread": "v2.0/message/unread",
    "del": "v2.0/message/delete",
    "me": "v2.0/message/delete",
    "del1": "v1.0/message_delete",
}
REFUSALS = {
    "The API key is missing or not valid": "key",
    "the API key does not have the scope": "scope",
    "the API key may not act as this user": "user",
    "this user has no message with the `id`": "none",
}


def parameters(endpoint: str, world: World, side: str, message_id: int) -> dict[str, Any]:
    """Return what a client asks for, about the other of the two, as one of them; the third asks about the sender."""
    me, other = world.user[side].pk, world.user["recipient" if side == "sender" else "sender"].pk
    match endpoint:
        case "send" | "add":
            return {"from": me, "to": other, "message": "x"}
        case "list" | "list1":
            return {"guid": me, "to": other}
        case "new" | "new1":
            return {"to": me, "from": other}
        case "last" | "last1" | "unread":
            return {"guid": me}
        case "me":
            return {"guid": me, "id": message_id, "for": "me"}
    return {"guid": me, "id": message_id}


def told(endpoint: str, response: Any, message_id: int) -> str:
    """Return the cell that an answer stands for, as far as it is about the message."""
    answer = json.loads(response.content)
    payload, cell = answer["payload"], "empty"
    if answer["code"] != "100":
        (cell,) = (word for text, word in REFUSALS.items() if text in answer["message"])
    elif endpoint in ("send", "add"):
        cell = "sent"
    elif endpoint in ("del", "me", "del1"):
        cell = {True: "gone"}[payload]
    elif endpoint == "unread":
        cell = str(payload["count"])
    elif items := [item for item in payload["list"] or () if item["id"] == message_id]:
        cell = {"": "text", "1": "mark"}[items[0].get("is_deleted", "")]
        url = [] if endpoint in ("new1", "last1") else ["attachment_url"]  # they have a file without its URL
        assert {bool(items[0].get(name)) for name in ("message", "attachment_name", *url)} == {cell == "text"}
    assert (TEXT in str(answer)) == ("dummy.pdf" in str(answer)) == (cell == "text")
    return cell


def absent_number(message: Message) -> int:
    """Return a number of as many digits as the message's that no message has."""
    near = {number for number in range(message.pk - 9, message.pk + 9) if len(str(number)) == len(str(message.pk))}
    return max(near - set(Message.objects.values_list("pk", flat=True)))


def kept() -> list[Any]:
    """Return all that there is of messages."""
    return [list(model.objects.order_by("pk").values()) for model in (Message, Attachment)]


def asked(who: str, endpoint: str, method: str, world: World, side: str, message_id: int) -> Any:
    client, given = Client(), parameters(endpoint, world, side, message_id)
    match who:
        case "session":
            client.force_login(world.user[side])
        case "superuser":
            client.force_login(somebody("superuser", is_staff=True, is_superuser=True))
        case "signature":
            given["signature"] = sign(world.attachment, world.user[side].pk)
        case _ if who != "nobody":
            given["api_key_token"] = world.keys[who]
    return client.generic(
        method,
        f"/api/{PATHS[endpoint]}" + (f"?{urlencode(given)}" if method == "GET" else ""),
        "" if method == "GET" else urlencode(given),
        "application/x-www-form-urlencoded",
    )


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("endpoint", PATHS)
def test_the_api(world: World, endpoint: str, method: str) -> None:
    found, before = {}, kept()
    for row in API_KEYS:
        who, side = row.split(" / ")

        def ask(who: str, message_id: int, side: str = side) -> Any:
            return asked(who, endpoint, method, world, side, message_id)

        with transaction.atomic():
            response = ask(who, world.message.pk)
            found[row], after = told(endpoint, response, world.message.pk), kept()
            transaction.set_rollback(True)
        assert (before != after) == (found[row] in ("sent", "gone")), row
        # Whatever is wrong with a key, and whatever is not one's own, is answered as what is not there.
        number = world.message.pk
        missing = {"key": ("unknown key", number), "none": (who, absent_number(world.message))}.get(found[row])
        if missing:
            other = ask(*missing)
            seen = visible(response, response.content, f"`{number}`"), visible(other, other.content, f"`{missing[1]}`")
            assert seen[0] == seen[1], row
    assert found == {row: cells[endpoint] for row, cells in API_KEYS.items()}


@pytest.mark.parametrize("state", STATES)
def test_what_the_api_shows_of_what_was_deleted(world: World, state: str) -> None:
    STATES[state](Message.objects.filter(pk=world.message.pk), world)
    found = {}
    for row in API_STATES:
        endpoint, side = row.split(" / ")
        with transaction.atomic():
            response = asked("key", endpoint, "POST", world, side, world.message.pk)
            found[row] = told(endpoint, response, world.message.pk)
            transaction.set_rollback(True)
    assert found == {row: cells[state] for row, cells in API_STATES.items()}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_no_other_method_does_anything(world: World, method: str) -> None:
    before = kept()
    for endpoint in PATHS:
        response = asked("key", endpoint, method, world, "sender", world.message.pk)
        assert response.status_code == (200 if method == "OPTIONS" else 405)
        assert TEXT.encode() not in response.content
    assert kept() == before


# The admin

# ``text`` shows the message, ``page`` shows that there is one, ``login`` and ``403`` show nothing, and ``back`` leads
# to the list with a word of what there is not.
ADMIN = table("""
                                 list   change  thread  history  add    delete  delete for both  delete file  keys
    nobody                       login  login   login   login    login  login   login            login        login
    another user                 login  login   login   login    login  login   login            login        login
    the sender                   login  login   login   login    login  login   login            login        login
    the recipient                login  login   login   login    login  login   login            login        login
    no staff, view, read         login  login   login   login    login  login   login            login        login
    superuser who is no staff    login  login   login   login    login  login   login            login        login
    superuser who left           login  login   login   login    login  login   login            login        login
    staff                        403    403     403     403      403    403     403              403          403
    staff, read                  403    403     403     403      403    403     403              403          403
    staff, moderate              403    403     403     403      403    403     403              403          403
    staff, read, moderate        403    403     403     403      403    403     403              403          403
    staff, view                  page   page    page    page     403    403     page             page         403
    staff, view, read            text   text    text    page     403    403     text             text         403
    staff, view, moderate        page   page    page    page     403    403     page             page         403
    staff, view, read, moderate  text   text    text    page     403    403     text             text         403
    superuser                    text   text    text    page     403    403     text             text         page
""")

ADMIN_STATES = table("""
                       there  by sender  by recipient  by each  for both  gone
    list / view        page   page       page          page     page      page
    change / view      page   page       page          back     page      back
    thread / view      page   page       page          page     page      page
    history / view     page   page       page          back     page      back
    list / read        text   text       text          page     page      page
    change / read      text   text       text          back     page      back
    thread / read      text   text       text          page     page      page
    history / read     page   page       page          back     page      back
""")

PAGES = {
    "list": "message/",
    "change": "message/{}/change/",
    "thread": "message/conversation/{sender}/{recipient}/",
    "history": "message/{}/history/",
    "add": "message/add/",
    "delete": "message/{}/delete/",
    "delete for both": "message/",
    "delete file": "message/",
    "keys": "apikey/",
}
ACTIONS = {"delete for both": "delete_for_both", "delete file": "delete_attachments"}


def page_of(client: Client, page: str, world: World, number: int) -> tuple[str, Any]:
    """Return the cell that a page stands for, and all that is visible of it."""
    users = {side: user.pk for side, user in world.user.items()}
    path = "/admin/ossn_messaging/" + PAGES[page].format(number, **users)
    if page in ACTIONS:
        response = client.post(path, {"action": ACTIONS[page], "_selected_action": [number]}, follow=False)
        if response.status_code == 302 and response["Location"] == path:  # there is no such action
            response = client.get(path)
    else:
        response = client.get(path)
    content = response.content
    shown = response.status_code, response.headers.get("Location", "").replace(f"/{number}/", "/N/"), content
    if response.status_code == 302:
        return "login" if response["Location"].startswith("/admin/login/") else "back", shown
    if response.status_code == 403:
        assert TEXT.encode() not in content
        return "403", shown
    assert response.status_code == 200
    return "text" if TEXT.encode() in content else "page", shown


@pytest.mark.parametrize("page", PAGES)
def test_the_admin(world: World, page: str) -> None:
    before, found = kept(), {}
    for who in ADMIN:
        client, _headers, _query = asker(who, world)
        found[who], shown = page_of(client, page, world, world.message.pk)
        if found[who] in ("login", "403"):
            assert shown == page_of(client, page, world, MISSING)[1], f"{who} can tell what there is"
    assert found == {who: cells[page] for who, cells in ADMIN.items()}
    assert kept() == before


@pytest.mark.parametrize("state", STATES)
def test_what_the_admin_shows_of_what_was_deleted(world: World, state: str) -> None:
    clients = {"view": asker("staff, view", world)[0], "read": asker("staff, view, read", world)[0]}
    STATES[state](Message.objects.filter(pk=world.message.pk), world)
    found = {}
    for row in ADMIN_STATES:
        page, may = row.split(" / ")
        found[row] = page_of(clients[may], page, world, world.message.pk)[0]
    assert found == {row: cells[state] for row, cells in ADMIN_STATES.items()}
