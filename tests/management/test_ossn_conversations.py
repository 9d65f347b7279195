"""``ossn_conversations check``: whether conversations and their messages agree, and their repair."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.db.models import F

from ossn_messaging.models import Conversation, Message, repair
from tests.support.api import API
from tests.support.commands import run_command
from tests.support.servers import wait_until

FIELDS = ("sequence", "message_count", "unread_count", "last_read_sequence", "last_sequence", "last_message_at")
AGREE = (0, ["0 differences"])
FIXED = (0, ["0 differences, 0 corrected"])


def check(*options: str) -> tuple[int, list[str]]:
    return run_command("ossn_conversations", "check", *options)


def rows() -> dict[tuple[int, int], tuple[Any, ...]]:
    """Return the fields of each conversation by its two users."""
    return {row[:2]: row[2:] for row in Conversation.objects.values_list("user_id", "other_user_id", *FIELDS)}


def send(sender: User, recipient: User, *texts: str) -> list[Message]:
    return [Message.objects.send(sender=sender, recipient=recipient, text=text) for text in texts]


@pytest.fixture
def conversation(sender: User, recipient: User) -> Conversation:
    """The recipient's conversation: of eight messages, some are deleted and some are read by each user."""
    one, two = send(sender, recipient, "one", "two")
    send(recipient, sender, "three")
    Conversation.objects.between(recipient, sender).mark_read()
    four, five = send(sender, recipient, "four", "five")
    Conversation.objects.between(sender, recipient).mark_read()
    (six,) = send(recipient, sender, "six")
    send(sender, recipient, "seven", "eight")
    Message.objects.filter(pk__in=[one.pk, four.pk]).delete_for(recipient)
    Message.objects.filter(pk__in=[two.pk, six.pk]).delete_for(sender)
    Message.objects.filter(pk=five.pk).delete_for_both()
    Message.objects.order_by("-pk")[0].delete()
    return Conversation.objects.between(recipient, sender)


def texts(user: User, other: User) -> list[str]:
    return [message.text for message in reversed(Conversation.objects.between(user, other).page(size=100))]


def test_what_the_app_writes_is_right(conversation: Conversation) -> None:
    before = rows()
    assert len(before) == 2
    assert check() == AGREE
    assert check("--fix") == FIXED
    assert rows() == before


def test_an_empty_site(transactional_db: None) -> None:
    assert check() == AGREE


DAMAGES: dict[str, dict[str, Any]] = {
    "counters": {"message_count": 77, "unread_count": 55},
    "no newest message": {"last_sequence": None, "last_message_at": None},
    "another newest message": {"last_sequence": 2, "last_message_at": "2020-01-01T00:00:00Z"},
    "the counters of an older backup": {"sequence": 2, "message_count": 1, "unread_count": 55, "last_sequence": 2},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("rows_damaged", [1, 2])
def test_fields_are_corrected(
    conversation: Conversation, damage: dict[str, Any], rows_damaged: int, sender: User, recipient: User
) -> None:
    before = rows()
    damaged = Conversation.objects.order_by("pk").values_list("pk", flat=True)[:rows_damaged]
    Conversation.objects.filter(pk__in=list(damaged)).update(**damage)
    wrong = rows()
    status, lines = check()
    assert status == 1
    assert rows() == wrong, "nothing was to be corrected"
    assert lines[-1].endswith(" differences")
    for name in damage:
        assert any(f"{name} is " in line for line in lines)
    status, lines = check("--fix")
    assert status == 0
    assert all(line.endswith("; corrected") for line in lines[:-1])
    # The last message was deleted, so a sequence number that an older backup has forgotten may be given again.
    last = max(Message.objects.values_list("sequence", flat=True))
    expected = {
        key: (last, *fields[1:]) if "sequence" in damage and rows_damaged == 2 else fields
        for key, fields in before.items()
    }
    assert rows() == expected
    assert check() == AGREE


def test_a_read_mark_beyond_the_end(conversation: Conversation, sender: User, recipient: User) -> None:
    """Else the user would never get the next messages as unread."""
    Conversation.objects.update(last_read_sequence=99)
    status, lines = check()
    assert status == 1
    assert f"last_read_sequence is 99, not {conversation.sequence}" in lines[0]
    assert check("--fix")[0] == 0
    assert Conversation.objects.unread(recipient).messages == 0
    send(sender, recipient, "nine")
    assert Conversation.objects.unread(recipient).messages == 1
    assert check() == AGREE


def test_rows_are_missing(conversation: Conversation, sender: User, recipient: User) -> None:
    seen = [texts(sender, recipient), texts(recipient, sender)]
    Conversation.objects.all().delete()
    status, lines = check()
    assert (status, lines[-1]) == (1, "1 differences")
    assert lines[0].endswith(": there are messages and no rows")
    assert check("--fix")[0] == 0
    assert check() == AGREE
    assert [texts(sender, recipient), texts(recipient, sender)] == seen
    unread = Message.objects.received(recipient.pk, sender.pk).count()
    assert Conversation.objects.unread(recipient) == (unread, 1), "nobody knows what was read"
    (message,) = send(sender, recipient, "nine")
    assert texts(recipient, sender)[-1] == message.text


@pytest.mark.parametrize("mine", [True, False])
def test_the_row_of_one_user_is_missing(conversation: Conversation, sender: User, recipient: User, mine: bool) -> None:
    gone = Conversation.objects.between(*((sender, recipient) if mine else (recipient, sender)))
    kept = Conversation.objects.exclude(pk=gone.pk).values(*FIELDS).get()
    gone.delete()
    status, (line, summary) = check()
    assert (status, summary) == (1, "1 differences")
    assert line.endswith(": the row of the other user is missing")
    assert check("--fix")[0] == 0
    assert check() == AGREE
    made = Conversation.objects.between(gone.user, gone.other_user)
    assert (made.sequence, made.message_count, made.last_sequence) == (
        gone.sequence,
        gone.message_count,
        gone.last_sequence,
    )
    assert Conversation.objects.exclude(pk=made.pk).values(*FIELDS).get() == kept


def test_rows_without_messages(sender: User, recipient: User, stranger: User) -> None:
    send(sender, recipient, "one")
    Message.objects.get().delete()
    assert check() == AGREE, "the sequence numbers go on"
    Conversation.objects.update(message_count=3, unread_count=1)
    Conversation.objects.create(user=stranger, other_user=stranger, message_count=1)
    Conversation.objects.create(user=stranger, other_user=sender, message_count=1, sequence=4)
    assert check()[1][-1] == "4 differences"
    assert check("--fix")[0] == 0
    assert check() == AGREE
    assert {key: fields[:3] for key, fields in rows().items()} == {
        (sender.pk, recipient.pk): (1, 0, 0),
        (recipient.pk, sender.pk): (1, 0, 0),
        (sender.pk, stranger.pk): (4, 0, 0),
        (stranger.pk, sender.pk): (4, 0, 0),
    }


def test_messages_that_were_deleted_by_sql(conversation: Conversation, sender: User, recipient: User) -> None:
    left = texts(recipient, sender)[1:]
    oldest = Message.objects.received(recipient.pk, sender.pk).order_by("pk")[0]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ossn_messaging_message WHERE id <= %s", [oldest.pk])
    assert check()[0] == 1
    assert check("--fix")[0] == 0
    assert check() == AGREE
    assert texts(recipient, sender) == left
    assert Conversation.objects.between(recipient, sender).sequence == conversation.sequence


def test_accounts_that_were_merged(sender: User, recipient: User, stranger: User, monkeypatch: Any) -> None:
    """The stranger's messages become the sender's, with the sequence numbers that they had."""
    monkeypatch.setattr(repair, "ROWS_PER_QUERY", 2)
    send(sender, recipient, "one", "two")
    Conversation.objects.between(recipient, sender).mark_read()
    send(stranger, recipient, "three")
    send(recipient, stranger, "four")
    send(sender, recipient, "five")
    send(stranger, recipient, "six", "seven")
    send(recipient, sender, "eight")
    Message.objects.filter(sender=stranger).update(sender=sender)
    Message.objects.filter(recipient=stranger).update(recipient=sender)
    stranger.delete()
    status, lines = check()
    assert status == 1
    assert lines[0].endswith(": the sequence numbers of the messages do not grow with their ids")
    assert check("--fix")[0] == 0
    assert check() == AGREE
    merged = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    assert texts(sender, recipient) == texts(recipient, sender) == merged
    assert list(Message.objects.order_by("pk").values_list("sequence", flat=True)) == list(range(1, len(merged) + 1))
    assert Conversation.objects.unread(recipient) == (3, 1), "five, six and seven"
    assert Conversation.objects.unread(sender) == (2, 1), "four and eight"
    send(sender, recipient, "nine")
    assert texts(recipient, sender) == [*merged, "nine"]


def test_all_was_read_before_accounts_were_merged(sender: User, recipient: User) -> None:
    send(sender, recipient, "one", "two")
    Conversation.objects.between(recipient, sender).mark_read()
    Message.objects.update(sequence=F("sequence") * 0 + 1)
    assert check("--fix")[0] == 0
    assert Conversation.objects.unread(recipient) == (0, 0)
    assert texts(recipient, sender) == ["one", "two"]


def test_more_rows_than_are_read_at_once(monkeypatch: pytest.MonkeyPatch, sender: User) -> None:
    monkeypatch.setattr(repair, "USERS_PER_QUERY", 2)
    monkeypatch.setattr(repair, "ROWS_PER_QUERY", 2)
    others = [User.objects.create_user(f"user{number}") for number in range(5)]
    for other in others:
        send(other, sender, "Hello")
    assert check() == AGREE
    Conversation.objects.filter(user__in=others[:2]).delete()
    Conversation.objects.filter(other_user__in=others[:2]).delete()
    Conversation.objects.filter(user=sender).update(unread_count=0)
    assert check()[1][-1] == "5 differences"
    status, lines = check("--fix")
    assert (status, lines[-1]) == (0, "5 differences, 5 corrected")
    assert check() == AGREE
    assert Conversation.objects.unread(sender) == (5, 5)


def test_what_can_not_be_corrected(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("deadlock detected")

    Conversation.objects.update(unread_count=9)
    monkeypatch.setattr("ossn_messaging.management.commands.ossn_conversations.rebuild", fail)
    status, lines = check("--fix")
    assert (status, lines[-1]) == (1, "2 differences, 0 corrected")
    assert lines[0].endswith("; could not be corrected: deadlock detected")


def test_the_answers_of_the_api_after_a_repair(api: API) -> None:
    for _ in range(3):
        api.ok()
    asked = {"guid": api.sender.pk, "to": api.recipient.pk}
    before = api.ask("v2.0/message/list", **asked)["payload"]
    Conversation.objects.all().delete()
    assert api.ask("v2.0/message/list", **asked)["payload"]["list"] is False
    assert check("--fix")[0] == 0
    assert api.ask("v2.0/message/list", **asked)["payload"] == before


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's in memory is one connection's")
def test_a_message_that_is_sent_meanwhile(conversation: Conversation, sender: User, recipient: User) -> None:
    """The repair waits for its commit, and counts it."""
    Conversation.objects.update(unread_count=0)

    def fix() -> int:
        try:
            return check("--fix")[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            send(sender, recipient, "nine")
            fixed = pool.submit(fix)
            # InnoDB makes its table of transactions anew only for who has not read it for a tenth of a second.
            wait_until(lambda: is_blocked() or fixed.done(), pause=lambda: time.sleep(0.2))
            assert not fixed.done()
        assert fixed.result() == 0
    assert check() == AGREE
    assert texts(recipient, sender)[-1] == "nine"


def is_blocked() -> bool:
    """Return whether a connection waits for a lock."""
    query = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(query)
        return bool(cursor.fetchone()[0])


def test_progress_is_shown_on_a_terminal_alone(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    check()
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    check()
    assert "1 of about 2 conversations" in terminal.getvalue()
