"""Sending from the site's own code, what is kept of it, and what goes when it is deleted."""

import hashlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from ossn_messaging import exceptions
from ossn_messaging.models import APIKey, Attachment, Conversation, Message
from tests.conftest import everywhere, files_in, upload
from tests.files import PDF


def send(sender: User, recipient: User, text: str = "Test", **kwargs: Any) -> Message:
    message: Message = Message.objects.send(sender=sender, recipient=recipient, text=text, **kwargs)
    return message


def kept_counts() -> dict[tuple[int, int], tuple[int, int]]:
    return {
        (side.user_id, side.other_user_id): (side.message_count, side.unread_count)
        for side in Conversation.objects.all()
    }


def full_counts(*users: User) -> dict[tuple[int, int], tuple[int, int]]:
    """Count what ``Conversation`` keeps, message by message."""
    counts = {}
    for user, other in permutations(users, 2):
        sent, received = Message.objects.sent(user.pk, other.pk), Message.objects.received(user.pk, other.pk)
        side = Conversation.objects.filter(user=user, other_user=other).first()
        if side:
            unread = received.filter(sequence__gt=side.last_read_sequence).count()
            counts[user.pk, other.pk] = (sent.count() + received.count(), unread)
    return counts


def newest_of(user: User, other: User) -> tuple[Any, Any]:
    sides = Message.objects.sent(user.pk, other.pk) | Message.objects.received(user.pk, other.pk)
    return sides.order_by("-pk").values_list("sequence", "created_at").first() or (None, None)


def assert_nothing_drifted(*users: User) -> None:
    """Compare all that is kept of conversations with what the messages say."""
    assert kept_counts() == full_counts(*users)
    for side in Conversation.objects.all():
        assert (side.last_sequence, side.last_message_at) == newest_of(side.user, side.other_user)


def test_the_message_comes_back_as_it_is_stored(sender: User, recipient: User) -> None:
    message = send(sender, recipient, "  text \0", upload=ContentFile(PDF, "a folder/Letter.PDF"))
    stored = Message.objects.select_related("attachment").get()
    assert stored == message
    assert (stored.sender, stored.recipient, stored.text) == (sender, recipient, "text")
    assert stored.created_at == message.created_at
    assert (stored.attachment.name, stored.attachment.content_type, stored.attachment.size) == (
        "Letter.PDF",
        "application/pdf",
        len(PDF),
    )
    assert stored.attachment.digest == hashlib.sha256(PDF).hexdigest()
    with stored.attachment.file.open() as file:
        assert file.read() == PDF


def test_what_is_stored_is_called_by_its_number(sender: User, recipient: User) -> None:
    """As in the admin, where it asks whether a user is to be deleted with all of this."""
    message = send(sender, recipient, upload=upload("dummy.pdf"), idempotency_key="once")
    names = {"message": message, "attachment": message.attachment, "idempotency record": message.idempotency_record}
    names |= {"conversation": Conversation.objects.get(user=sender)}
    for name, stored in names.items():
        assert str(stored) == f"{name} {stored.pk}"


def test_the_signal_follows_the_commit(
    sender: User, recipient: User, received: list[dict[str, Any]], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api_key, _key = APIKey.objects.create_key("one")
    with transaction.atomic():
        message = send(sender, recipient, api_key=api_key)
        assert received == []
    assert len(received) == 1
    assert received[0]["sender"] is Message
    assert received[0]["message"] is message
    assert received[0]["api_key"] == api_key
    with django_assert_num_queries(0):
        assert not hasattr(message, "attachment")
        assert message.sender.get_full_name() == "Arsalan Shah"


@pytest.mark.parametrize(
    ("setting", "change", "error"),
    [
        ({"ENABLED": False}, {"text": ""}, exceptions.MessagingDisabled),
        ({}, {"text": " "}, exceptions.BlankMessage),
        ({"MAX_MESSAGE_LENGTH": 3}, {"text": "four"}, exceptions.TextTooLong),
        ({}, {"text": "\udfff"}, exceptions.TextNotUnicode),
        ({"CAN_SEND": "tests.site.only_to_recipients_named_s"}, {"recipient": "stranger"}, exceptions.NotAllowed),
        ({}, {"recipient": "arsalanshah"}, exceptions.SelfMessage),
        ({}, {"upload": ContentFile(b"MZ", "a.exe")}, exceptions.AttachmentRefused),
        ({}, {"upload": ContentFile(PDF, "a" * 252 + ".pdf")}, exceptions.AttachmentRefused),
        ({}, {"upload": ContentFile(PDF)}, exceptions.AttachmentRefused),
        ({"ATTACHMENT_MAX_SIZE": len(PDF) - 1}, {"upload": ContentFile(PDF, "a.pdf")}, exceptions.AttachmentTooLarge),
        ({"ATTACHMENT_EXTENSIONS": ["png"]}, {"upload": ContentFile(PDF, "a.pdf")}, exceptions.AttachmentRefused),
    ],
)
def test_what_is_refused_is_raised(
    sender: User,
    recipient: User,
    stranger: User,
    settings: Settings,
    setting: dict[str, Any],
    change: dict[str, Any],
    error: type[exceptions.MessagingError],
) -> None:
    settings.OSSN_MESSAGING = setting
    if "recipient" in change:
        change = {"recipient": User.objects.get(username=change["recipient"])}
    with pytest.raises(error):
        Message.objects.send(**{"sender": sender, "recipient": recipient, "text": "Test", **change})
    assert not Message.objects.exists()


def test_the_site_is_told_who_sends_and_by_which_key(sender: User, recipient: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"CAN_SEND": "tests.site.only_by_a_key_of_ones_own"}
    own, other = (APIKey.objects.create_key(user.username)[0] for user in (sender, recipient))
    assert send(sender, recipient, api_key=own).api_key == own
    for api_key in (other, None):
        with pytest.raises(exceptions.NotAllowed):
            send(sender, recipient, api_key=api_key)


def test_users_who_are_not_saved(sender: User) -> None:
    with pytest.raises(exceptions.UserNotFound):
        send(sender, User(username="nobody"))


def test_a_user_who_is_deleted_meanwhile(sender: User, recipient: User) -> None:
    User.objects.filter(pk=recipient.pk).delete()
    with pytest.raises(exceptions.UserNotFound):
        send(sender, recipient)
    assert not Message.objects.exists()
    assert not Conversation.objects.exists()


def test_users_who_are_not_active(sender: User, recipient: User) -> None:
    recipient.is_active = False
    for pair in ((sender, recipient), (recipient, sender)):
        with pytest.raises(exceptions.UserNotFound):
            send(*pair)


def test_the_database_itself_refuses_a_message_to_oneself(sender: User) -> None:
    with pytest.raises(IntegrityError):
        Message.objects.create(sender=sender, recipient=sender, text="x", sequence=1)


def test_counts_are_kept(sender: User, recipient: User, stranger: User) -> None:
    for pair in ((sender, recipient), (sender, recipient), (recipient, sender), (stranger, sender)):
        send(*pair)
    assert kept_counts() == {
        (sender.pk, recipient.pk): (3, 1),
        (recipient.pk, sender.pk): (3, 2),
        (stranger.pk, sender.pk): (1, 0),
        (sender.pk, stranger.pk): (1, 1),
    }
    assert kept_counts() == full_counts(sender, recipient, stranger)


def test_a_conversation_is_as_recent_as_its_newest_message(sender: User, recipient: User) -> None:
    send(sender, recipient)
    message = send(recipient, sender)
    assert set(Conversation.objects.values_list("last_message_at", flat=True)) == {message.created_at}


def test_time_does_not_run_backwards(sender: User, recipient: User) -> None:
    """Not even where the clock of the server that sends next is late."""
    ahead = timezone.now() + timedelta(hours=1)
    send(sender, recipient)
    Conversation.objects.update(last_message_at=ahead)
    assert send(recipient, sender).created_at == ahead == Message.objects.latest("pk").created_at
    assert set(Conversation.objects.values_list("last_message_at", flat=True)) == {ahead}


def test_time_does_not_run_backwards_for_one_side(sender: User, recipient: User) -> None:
    """One side has deleted the newest message, which the other's clock is after."""
    ahead = timezone.now() + timedelta(hours=1)
    first = send(sender, recipient)
    Message.objects.filter(pk=first.pk).update(created_at=ahead)
    Conversation.objects.filter(user=sender).update(last_message_at=ahead)
    message = send(recipient, sender)
    assert message.created_at == ahead
    assert set(Conversation.objects.values_list("last_message_at", flat=True)) == {ahead}
    Message.objects.all().delete_for(sender)
    assert_nothing_drifted(sender, recipient)


def test_counts_follow_deletion(sender: User, recipient: User) -> None:
    first, second, third, fourth = (send(sender, recipient, str(number)) for number in range(4))
    Conversation.objects.filter(user=recipient).update(last_read_sequence=first.sequence, unread_count=3)
    Message.objects.filter(pk=second.pk).update(deleted_by_sender=True)
    Conversation.objects.filter(user=sender).update(message_count=3)

    first.delete()
    assert kept_counts() == {(sender.pk, recipient.pk): (2, 0), (recipient.pk, sender.pk): (3, 3)}
    Message.objects.filter(pk=second.pk).delete()
    assert kept_counts() == {(sender.pk, recipient.pk): (2, 0), (recipient.pk, sender.pk): (2, 2)}
    fourth.delete()
    assert set(Conversation.objects.values_list("last_sequence", "last_message_at")) == {
        (third.sequence, third.created_at)
    }
    third.delete()
    assert set(Conversation.objects.values_list("message_count", "unread_count", "last_message_at")) == {(0, 0, None)}


def test_a_message_is_deleted_once(sender: User, recipient: User) -> None:
    """Whoever holds it, and whatever it was when they got it."""
    first, again = send(sender, recipient), Message.objects.get()
    kept = send(sender, recipient)
    first.delete()
    again.delete()
    assert kept_counts() == {(sender.pk, recipient.pk): (1, 0), (recipient.pk, sender.pk): (1, 1)}
    Message.objects.filter(pk=kept.pk).update(deleted_by_sender=True)
    Conversation.objects.filter(user=sender).update(message_count=0)
    deleted_by_both = send(sender, recipient)
    Message.objects.filter(pk=deleted_by_both.pk).update(deleted_by_sender=True, deleted_by_recipient=True)
    Conversation.objects.update(message_count=F("message_count") - 1)
    Conversation.objects.filter(user=recipient).update(unread_count=1)
    deleted_by_both.delete()
    assert kept_counts() == {(sender.pk, recipient.pk): (0, 0), (recipient.pk, sender.pk): (1, 1)}
    kept.delete()
    assert set(kept_counts().values()) == {(0, 0)}


@everywhere
def test_deleting_what_is_only_half_loaded(sender: User, recipient: User, attachments_folder: Path) -> None:
    for _ in range(3):
        send(sender, recipient, upload=upload("dummy.pdf"))
    Attachment.objects.only("pk").latest("pk").delete()
    assert len(files_in(attachments_folder)) == 2
    Message.objects.only("pk").latest("pk").delete()
    Message.objects.only("pk").delete()
    assert files_in(attachments_folder) == []
    assert set(kept_counts().values()) == {(0, 0)}


def test_a_users_deletion_counts_no_message(sender: User, recipient: User) -> None:
    for _ in range(3):
        send(sender, recipient)
    with CaptureQueriesContext(connection) as context:
        sender.delete()
    assert not [query["sql"] for query in context if re.match("UPDATE .ossn_messaging_conversation", query["sql"])]


def test_the_newest_message_makes_a_conversation_recent(sender: User, recipient: User, stranger: User) -> None:
    for other in (recipient, stranger, recipient):
        send(other, sender)
    recent = Conversation.objects.filter(user=sender).order_by("-last_message_at")
    assert [side.other_user for side in recent] == [recipient, stranger]


@everywhere
def test_deleting_a_user_deletes_all_of_theirs(
    sender: User, recipient: User, stranger: User, attachments_folder: Path
) -> None:
    for pair in ((sender, recipient), (recipient, sender), (recipient, stranger)):
        send(*pair, upload=upload("dummy.pdf"))
    sender.delete()
    assert kept_counts() == full_counts(recipient, stranger) != {}
    assert Message.objects.count() == len(files_in(attachments_folder)) == 1


@everywhere
@pytest.mark.parametrize("what", [Message, Attachment])
@pytest.mark.parametrize("by_queryset", [False, True])
def test_the_file_goes_after_the_commit(
    sender: User, recipient: User, attachments_folder: Path, what: Any, by_queryset: bool
) -> None:
    send(sender, recipient, upload=upload("photo.png"))
    with transaction.atomic():
        (what.objects.all() if by_queryset else what.objects.get()).delete()
        assert len(files_in(attachments_folder)) == 1
    assert files_in(attachments_folder) == []
    assert Message.objects.count() == (0 if what is Message else 1)


@everywhere
def test_the_file_stays_when_the_deletion_is_taken_back(
    sender: User, recipient: User, attachments_folder: Path
) -> None:
    send(sender, recipient, upload=upload("photo.png"))
    with transaction.atomic():
        Message.objects.get().delete()
        transaction.set_rollback(True)
    assert len(files_in(attachments_folder)) == 1
    assert kept_counts() == full_counts(sender, recipient)


WORKERS = 1 if connection.vendor == "sqlite" else 6
"""The tests' SQLite is in the memory of one connection, and so of one thread."""


def at_once(work: Callable[[int], None]) -> None:
    """Let as many threads as there can be do ``work``, each with a number of its own."""
    start = threading.Barrier(WORKERS)

    def connected(number: int) -> None:
        start.wait()
        try:
            work(number)
        finally:
            connection.close()

    if WORKERS == 1:
        work(0)
    else:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(connected, range(WORKERS)))


def test_many_send_at_once(sender: User, recipient: User, stranger: User) -> None:
    """Counts stay exact, and in each conversation ids, positions and times grow in one order."""
    pairs = list(permutations((sender, recipient, stranger), 2))

    def work(number: int) -> None:
        for turn in range(15):
            send(*pairs[(number + turn) % len(pairs)])

    at_once(work)
    assert Message.objects.count() == 15 * WORKERS
    assert kept_counts() == full_counts(sender, recipient, stranger)
    for user, other in pairs:
        both = Q(sender=user, recipient=other) | Q(sender=other, recipient=user)
        order = list(Message.objects.filter(both).order_by("pk").values_list("sequence", "created_at"))
        assert order == sorted(order)
        assert [position for position, _time in order] == list(range(1, len(order) + 1))


def test_many_do_everything_at_once(sender: User, recipient: User, stranger: User) -> None:
    """Senders, readers and deleters of all kinds: what is kept is what a full count says, and nobody is in the way."""
    pairs = list(permutations((sender, recipient, stranger), 2))
    numbers = [send(*pairs[turn % len(pairs)]).pk for turn in range(60)]

    def work(number: int) -> None:
        for turn in range(24):
            user, other = pairs[(turn + number) % len(pairs)]
            some = Message.objects.filter(pk__in=numbers[(turn + number) % 7 : turn + number + 12 : 5])
            send(user, other)
            Conversation.objects.between(user, other).mark_read()
            match (turn + number) % 4:
                case 0:
                    some.delete_for(user)
                case 1:
                    some.delete_for_both()
                case 2:
                    some.filter(pk__lt=numbers[turn]).delete()
                case _:
                    for message in some[:1]:
                        message.delete()

    at_once(work)
    assert 0 < Message.objects.filter(pk__in=numbers).count() < 60
    assert Message.objects.filter(deleted_at__isnull=False).exists()
    assert_nothing_drifted(sender, recipient, stranger)
    for user, other in pairs:
        Conversation.objects.between(user, other).mark_read()
    assert not Conversation.objects.exclude(unread_count=0).exists()


def test_some_mark_while_others_send_and_delete(sender: User, recipient: User) -> None:
    """All in one conversation, so that each is always in the way of another; each marking is looked at at once."""
    send(sender, recipient)

    def work(number: int) -> None:
        for turn in range(60):
            if number % 2:
                Conversation.objects.between(recipient, sender).mark_read()
                with transaction.atomic():
                    Conversation.objects.lock([(sender.pk, recipient.pk)])
                    assert_nothing_drifted(sender, recipient)
            else:
                message = send(sender, recipient)
                if turn % 4 == 3:
                    Message.objects.filter(pk=message.pk).delete_for(recipient)

    at_once(work)
    assert_nothing_drifted(sender, recipient)
