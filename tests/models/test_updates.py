"""What a poll tells of a user's messages: everything that was committed since the last one, and nothing twice."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import RESTRICT
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from ossn_messaging.exceptions import InvalidParameter
from ossn_messaging.models import Conversation, IdempotencyRecord, Message, Update, UpdateFeed, updates
from ossn_messaging.models.repair import rebuild
from ossn_messaging.models.updates import UPDATE_MAX_AGE, Cursor, Updates
from ossn_messaging.models.users import MAX_ID
from tests.models.test_messages import send
from tests.support.api import upload


class Phone:
    """A client of a user that polls with the cursor of its last poll."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.after = ""
        assert self.poll() == Updates([], [], [], self.after, has_more=False)

    def poll(self) -> Updates:
        found = Update.objects.poll(self.user, self.after)
        self.after = found.after
        return found

    def everything(self) -> Iterator[Updates]:
        while True:
            found = self.poll()
            yield found
            if not found.has_more:
                return

    def messages(self) -> list[Message]:
        return [message for found in self.everything() for message in found.messages]

    def read(self) -> list[tuple[int, int | None]]:
        return [(update.other_id, update.read_message_id) for found in self.everything() for update in found.read]

    def deleted(self) -> list[tuple[int, int | None, str]]:
        return [
            (update.other_id, update.message_id, update.kind) for found in self.everything() for update in found.deleted
        ]


def test_new_messages_are_told_once_to_each_client(sender: User, recipient: User, stranger: User) -> None:
    send(sender, recipient, "before")
    phones = [Phone(recipient), Phone(recipient), Phone(sender)]
    sent = [
        send(sender, recipient, upload=upload("dummy.pdf")),
        send(stranger, recipient),
        send(recipient, sender),
    ]
    assert phones[0].messages() == sent
    assert phones[0].messages() == []
    sent.append(send(sender, recipient))
    assert phones[0].messages() == sent[3:]
    assert phones[1].messages() == sent
    assert phones[2].messages() == [sent[0], *sent[2:]]
    (told,) = Phone(stranger).everything()
    assert told[:3] == ([], [], [])


def test_more_than_a_page_is_told_in_pages(settings: Settings, sender: User, recipient: User, stranger: User) -> None:
    settings.OSSN_MESSAGING = {"PAGE_SIZE": 3}
    phone = Phone(recipient)
    sent = [send(user, recipient) for user in (sender, stranger) for _ in range(4)]
    pages = list(phone.everything())
    assert [len(page.messages) for page in pages] == [3, 3, 2]
    assert [message for page in pages for message in page.messages] == sent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updates, "ROWS_PER_NUMBERING", 1)
        sent = [send(user, recipient) for user in (sender, stranger)]
        assert sorted(phone.messages(), key=lambda message: message.pk) == sent
        sent = [send(user, recipient) for user in (sender, stranger)]
        assert Phone(recipient).messages() == [], "the first cursor is one of now, however much there is to number"


def test_messages_come_with_what_is_needed(
    sender: User, recipient: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    phone = Phone(sender)
    send(sender, recipient, upload=upload("dummy.pdf"))
    send(sender, recipient)
    Conversation.objects.between(recipient, sender).mark_read()
    send(recipient, sender)
    with_file, without, received = phone.messages()
    with django_assert_num_queries(0):
        assert with_file.attachment.name == "dummy.pdf"
        assert not hasattr(without, "attachment")
        assert [with_file.is_read, without.is_read, received.is_read] == [True, True, False]


def test_what_others_have_read_is_told(sender: User, recipient: User) -> None:
    phone, other = Phone(sender), Phone(recipient)
    sent = [send(sender, recipient) for _ in range(3)]
    send(recipient, sender)
    assert phone.read() == other.read() == []
    Conversation.objects.between(recipient, sender).mark_read(sent[1])
    assert (phone.read(), other.read()) == ([(recipient.pk, sent[1].pk)], []), "the reader knows"
    Conversation.objects.between(recipient, sender).mark_read()
    assert (phone.read(), phone.read()) == ([(recipient.pk, sent[2].pk)], [])
    send(sender, recipient)
    Conversation.objects.between(recipient, sender).mark_read()
    Message.objects.all().delete_for(sender)
    assert phone.read() == [], "the user does not see them any more"


DELETIONS: dict[str, tuple[Callable[[Message], Any], str, str]] = {
    "for the sender": (lambda message: Message.objects.filter(pk=message.pk).delete_for(message.sender), "me", ""),
    "for the recipient": (
        lambda message: Message.objects.filter(pk=message.pk).delete_for(message.recipient),
        "",
        "me",
    ),
    "for both": (lambda message: Message.objects.filter(pk=message.pk).delete_for_both(), "all", "all"),
    "the attachment": (
        lambda message: Message.objects.filter(pk=message.pk).delete_attachments(),
        "attachment",
        "attachment",
    ),
    "permanently": (lambda message: message.delete(), "me", "me"),
    "permanently, by a queryset": (lambda message: Message.objects.filter(pk=message.pk).delete(), "me", "me"),
}


@pytest.mark.parametrize("name", DELETIONS)
def test_deletions_are_told_to_those_who_saw_the_message(sender: User, recipient: User, name: str) -> None:
    delete, told_sender, told_recipient = DELETIONS[name]
    phones = [Phone(sender), Phone(recipient)]
    message = send(sender, recipient, upload=upload("dummy.pdf"))
    assert [phone.messages() for phone in phones] == [[message], [message]]
    pk = message.pk
    delete(message)
    assert phones[0].deleted() == ([(recipient.pk, pk, told_sender)] if told_sender else [])
    assert phones[1].deleted() == ([(sender.pk, pk, told_recipient)] if told_recipient else [])
    assert [phone.deleted() for phone in phones] == [[], []]


def test_what_is_deleted_twice_is_told_once(sender: User, recipient: User) -> None:
    phone, message = Phone(recipient), send(sender, recipient)
    again, pk = Message.objects.get(), message.pk
    message.delete()
    again.delete()
    assert phone.deleted() == [(sender.pk, pk, "me")]


def test_updates_name_no_text(sender: User, recipient: User) -> None:
    phone = Phone(recipient)
    send(sender, recipient, "secret")
    phone.poll()
    shown = str(
        [*map(str, Update.objects.all()), *map(str, UpdateFeed.objects.all()), *map(repr, Update.objects.all())]
    )
    assert "secret" not in shown
    assert f"updates of user {recipient.pk}" in shown


def test_a_second_deletion_is_told_to_nobody_who_does_not_see_it(sender: User, recipient: User) -> None:
    message = send(sender, recipient)
    Message.objects.filter(pk=message.pk).delete_for(sender)
    phones = [Phone(sender), Phone(recipient)]
    Message.objects.filter(pk=message.pk).delete_for_both()
    assert [phone.deleted() for phone in phones] == [[], [(sender.pk, message.pk, "all")]]
    Message.objects.filter(pk=message.pk).delete_for(recipient)
    assert [phone.deleted() for phone in phones] == [[], [(sender.pk, message.pk, "me")]]
    assert not Message.objects.exists()


def test_what_was_sent_and_deleted_between_two_polls_is_not_shown(sender: User, recipient: User) -> None:
    phone = Phone(recipient)
    messages = [send(sender, recipient) for _ in range(3)]
    Message.objects.filter(pk=messages[0].pk).delete_for(recipient)
    Message.objects.filter(pk=messages[1].pk).delete_for_both()
    (told,) = phone.everything()
    assert [(message.pk, message.text) for message in told.messages] == [(messages[1].pk, ""), (messages[2].pk, "Test")]
    assert [update.message_id for update in told.deleted] == [messages[0].pk, messages[1].pk]


def test_the_deletion_of_a_user_is_told_to_the_others(sender: User, recipient: User, stranger: User) -> None:
    phones = [Phone(recipient), Phone(stranger)]
    send(sender, recipient)
    send(recipient, sender)
    pk = sender.pk
    Phone(sender)
    sender.delete()
    (told,) = phones[0].everything()
    assert told.messages == []
    assert [(update.other_id, update.message_id, update.kind) for update in told.deleted] == [(pk, None, "me")]
    assert phones[1].deleted() == []
    assert set(UpdateFeed.objects.values_list("user_id", flat=True)) == {recipient.pk, stranger.pk}
    assert not Update.objects.filter(user_id=pk).exists()


def test_the_deletion_of_a_user_is_told_where_messages_go_one_by_one(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do where a model of the site might protect them."""
    monkeypatch.setattr(IdempotencyRecord._meta.get_field("message").remote_field, "on_delete", RESTRICT)
    phone, message = Phone(recipient), send(sender, recipient)
    told = (sender.pk, message.pk, "me")
    assert phone.messages() == [message]
    sender.delete()
    assert phone.deleted() == [told]


def test_a_user_who_is_deleted_meanwhile_is_no_error(sender: User, recipient: User) -> None:
    phone, second = Phone(recipient), Phone(recipient)
    message = send(sender, recipient)
    assert phone.messages() == [message]
    Conversation.objects.all().delete()
    (told,) = second.messages()
    assert not told.is_read
    send(sender, recipient)
    UpdateFeed.objects.all().delete()
    assert Update.objects.all()._number(recipient.pk) is False


def test_after_a_repair_the_messages_are_told_again(sender: User, recipient: User) -> None:
    phone = Phone(recipient)
    messages = [send(sender, recipient) for _ in range(3)]
    assert phone.messages() == messages
    Message.objects.filter(pk=messages[0].pk).update(sequence=9)
    rebuild(sender.pk, recipient.pk, DEFAULT_DB_ALIAS)
    assert phone.messages() == messages
    Conversation.objects.all().delete()
    Message.objects.all().delete()
    rebuild(sender.pk, recipient.pk, DEFAULT_DB_ALIAS)
    assert phone.messages() == [], "there are two rows without a message"
    assert phone.messages() == []


def test_a_cursor_that_is_none_is_refused(sender: User, recipient: User) -> None:
    Phone(recipient)
    phone = Phone(sender)
    send(sender, recipient)
    version, user, number, sequence, moment = phone.after.split("-")
    assert (version, user, number, sequence) == ("1", str(sender.pk), "0", "0")
    expired = int(moment) - timedelta(days=30, seconds=60).total_seconds()
    for wrong in (
        "x",
        "0",
        f"2-{user}-{number}-{sequence}-{moment}",
        f"1-{recipient.pk}-{number}-{sequence}-{moment}",
        f"1-{user}-99-{sequence}-{moment}",
        f"1-{user}-{number}-{sequence}-{int(expired)}",
        f"1-{user}-{number}-{sequence}-{moment}\n",
        f"1-{user}-{number}-{sequence}-{moment}-1",
        f"1-{user}-{'9' * 30}-{sequence}-{moment}",
        f"1-{user}-\N{ARABIC-INDIC DIGIT ZERO}-{sequence}-{moment}",
    ):
        with pytest.raises(InvalidParameter, match="after"):
            Update.objects.poll(sender, wrong)
    forged = Update.objects.poll(sender, f"1-{user}-{number}-{'9' * 18}-{moment}")
    assert (forged.messages, forged.has_more) == ([], False)
    UpdateFeed.objects.all().delete()
    with pytest.raises(InvalidParameter):
        phone.poll()


def test_users_may_have_the_largest_ids() -> None:
    """The user is not stored: after the largest id, SQLite has no id for the users of the tests that follow."""
    cursor = Cursor(MAX_ID, 1, 0, int(timezone.now().timestamp()))
    assert Cursor.parse(str(cursor), MAX_ID) == cursor


def test_updates_are_kept_as_long_as_cursors_live(sender: User, recipient: User) -> None:
    phone, message = Phone(recipient), send(sender, recipient)
    Message.objects.filter(pk=message.pk).delete_for_both()
    assert Phone(recipient).messages() == []
    assert Update.objects.count() == 3
    Update.objects.update(created_at=timezone.now() - UPDATE_MAX_AGE)
    second = send(sender, recipient)
    Message.objects.filter(pk=second.pk).delete_for(sender)
    (left,) = Update.objects.all()
    assert left.message_id == second.pk
    with pytest.raises(InvalidParameter):
        phone.poll()


def test_a_client_that_is_behind_keeps_its_time(settings: Settings, sender: User, recipient: User) -> None:
    """What it has not been told may be as old as the time at which it last knew everything."""
    settings.OSSN_MESSAGING = {"PAGE_SIZE": 1}
    phone = Phone(recipient)
    before = f"{phone.after.rpartition('-')[0]}-{int(phone.after.rpartition('-')[2]) - 100}"
    for _ in range(2):
        send(sender, recipient)
    first = Update.objects.poll(recipient, before)
    assert first.after.rpartition("-")[2] == before.rpartition("-")[2]
    second = Update.objects.poll(recipient, first.after)
    assert second.after.rpartition("-")[2] > before.rpartition("-")[2]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_a_message_that_is_committed_late_is_told(sender: User, recipient: User, stranger: User) -> None:
    """Its id is lower than that of a message that was told before."""
    phone = Phone(recipient)
    is_written, may_commit = threading.Event(), threading.Event()
    late: list[Message] = []

    def send_slowly() -> None:
        with transaction.atomic():
            late.append(send(sender, recipient))
            is_written.set()
            may_commit.wait(60)
        connections.close_all()

    send(sender, recipient, "marks the conversation, which is then locked")
    thread = threading.Thread(target=send_slowly)
    thread.start()
    assert is_written.wait(60)
    early = send(stranger, recipient)
    assert phone.messages() == [early], "no poll waits for a send"
    may_commit.set()
    thread.join()
    assert late[0].pk < early.pk
    assert late[0] in phone.messages()
    assert phone.messages() == []


def test_polling_costs_the_same_however_many_conversations_there_are(sender: User) -> None:
    costs = []
    phone = Phone(sender)
    for number in (2, 8):
        others = [User.objects.create_user(f"user {number} {one}") for one in range(number)]
        for other in others:
            send(other, sender)
            send(sender, other)
            Conversation.objects.between(other, sender).mark_read()
        Message.objects.filter(sender=others[0]).delete_for_both()
        found = []
        for _ in range(2):
            with CaptureQueriesContext(connection) as context:
                phone.poll()
            found.append(len(context))
        list(phone.everything())
        with CaptureQueriesContext(connection) as context:
            phone.poll()
        costs.append((found[0], len(context)))
    assert costs[0] == costs[1]
    assert costs[0][1] == 2, "the marks with the last number, and the updates"
