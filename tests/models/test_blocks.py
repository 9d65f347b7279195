"""Blocks: who can no longer write to whom, and that nobody slips through while others block and unblock."""

import threading
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.exceptions import IdempotencyConflict, NotAllowed, SelfBlock, UserNotFound
from ossn_messaging.models import Block, Conversation, IdempotencyRecord, Message
from ossn_messaging.models.blocks import DEADLOCK, MAX_ATTEMPTS
from tests.models.test_messages import WORKERS, at_once, send
from tests.support.api import upload
from tests.support.storage import files_in


def blocked_by(user: User) -> list[Any]:
    return list(Block.objects.blocked_by(user))


def refused(sender: User, recipient: User, **parts: Any) -> str:
    with pytest.raises(NotAllowed) as raised:
        send(sender, recipient, **parts)
    return str(raised.value)


def test_a_block_stops_both_from_sending(sender: User, recipient: User, stranger: User) -> None:
    Block.objects.block(recipient, sender)
    assert refused(sender, recipient) == refused(recipient, sender)
    assert not Message.objects.exists()
    assert not Conversation.objects.exists()
    for pair in ((sender, stranger), (stranger, recipient)):
        send(*pair)


def test_the_refusal_is_that_of_the_sites_own_rule(sender: User, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"CAN_SEND": "tests.site.only_to_recipients_named_s"}
    recipient = User.objects.create_user("nobody the site allows")
    by_the_site = refused(sender, recipient)
    settings.OSSN_MESSAGING = {}
    Block.objects.block(recipient, sender)
    assert refused(sender, recipient) == by_the_site


def test_what_was_sent_stays(sender: User, recipient: User) -> None:
    message = send(sender, recipient)
    Block.objects.block(recipient, sender)
    refused(sender, recipient)
    side = Conversation.objects.between(recipient, sender)
    assert (side.page(), side.message_count, side.mark_read()) == ([message], 1, 1)
    assert Message.objects.filter(pk=message.pk).delete_for_both() == 1


def test_blocking_and_unblocking_again_changes_nothing(sender: User, recipient: User) -> None:
    Block.objects.unblock(sender, recipient)
    Block.objects.block(sender, recipient)
    block = Block.objects.get()
    Block.objects.block(sender, recipient)
    assert Block.objects.values_list("pk", "created_at").get() == (block.pk, block.created_at)
    assert str(block) == f"block {block.pk}"
    for _ in range(2):
        Block.objects.unblock(sender, recipient)
        assert blocked_by(sender) == []
    send(sender, recipient)
    send(recipient, sender)


def test_each_blocks_for_themselves(sender: User, recipient: User) -> None:
    Block.objects.block(sender, recipient)
    Block.objects.unblock(recipient, sender)
    assert (blocked_by(sender), blocked_by(recipient)) == ([recipient], [])
    Block.objects.block(recipient, sender)
    Block.objects.unblock(sender, recipient)
    assert (blocked_by(sender), blocked_by(recipient)) == ([], [sender])
    refused(sender, recipient)


def test_whom_somebody_has_blocked(sender: User, recipient: User, stranger: User) -> None:
    for user, other in ((sender, recipient), (recipient, sender), (sender, stranger), (stranger, recipient)):
        Block.objects.block(user, other)
    assert blocked_by(sender) == [stranger, recipient]
    assert list(Block.objects.blocked_by(sender).filter(pk=recipient.pk)) == [recipient]
    pairs = set(Block.objects.between(sender, recipient).values_list("user", "blocked_user"))
    assert pairs == {(sender.pk, recipient.pk), (recipient.pk, sender.pk)}


def test_nobody_blocks_themselves(sender: User) -> None:
    with pytest.raises(SelfBlock):
        Block.objects.block(sender, sender)
    with pytest.raises(IntegrityError):
        Block.objects.create(user=sender, blocked_user=sender)


def test_a_user_who_is_deleted_meanwhile(sender: User, recipient: User) -> None:
    User.objects.filter(pk=recipient.pk).delete()
    for pair in permutations((sender, recipient)):
        with pytest.raises(UserNotFound):
            Block.objects.block(*pair)
        Block.objects.unblock(*pair)
    assert not Block.objects.exists()


def test_blocks_go_with_either_user(sender: User, recipient: User, stranger: User) -> None:
    for user, other in permutations((sender, recipient, stranger), 2):
        Block.objects.block(user, other)
    sender.delete()
    assert set(Block.objects.values_list("user__username", "blocked_user__username")) == {
        ("testuser", "stranger"),
        ("stranger", "testuser"),
    }


@pytest.mark.parametrize("parts", [{"text": "\udfff"}, {"text": "too long"}, {"upload": ContentFile(b"MZ", "a.exe")}])
def test_a_block_comes_before_what_is_wrong_with_a_message(
    sender: User, recipient: User, settings: Settings, parts: dict[str, Any]
) -> None:
    settings.OSSN_MESSAGING = {"MAX_MESSAGE_LENGTH": 7}
    Block.objects.block(sender, recipient)
    for pair in permutations((sender, recipient)):
        refused(*pair, **parts)


def test_a_blocked_file_is_not_looked_at(sender: User, recipient: User, attachments_folder: Any) -> None:
    Block.objects.block(recipient, sender)
    file = upload("dummy.pdf")
    refused(sender, recipient, upload=file)
    assert file.tell() == 0
    assert files_in(attachments_folder) == []


def test_what_is_known_of_blocks_may_be_old(sender: User, recipient: User, attachments_folder: Any) -> None:
    """A block that the caller did not find counts, and the file that was stored meanwhile is deleted."""
    Block.objects.block(recipient, sender)
    for file in (None, upload("dummy.pdf")):
        refused(sender, recipient, upload=file, is_blocked=False)
    assert files_in(attachments_folder) == []
    assert not Conversation.objects.exists()


def test_a_repeat_is_answered_though_there_is_a_block_since(sender: User, recipient: User) -> None:
    message = send(sender, recipient, idempotency_key="once")
    Block.objects.block(recipient, sender)
    for is_blocked in (None, False, True):
        again = send(sender, recipient, idempotency_key="once", is_blocked=is_blocked)
        assert (again, again.replayed_from) == (message, message.idempotency_record)
    with pytest.raises(IdempotencyConflict):
        send(sender, recipient, "another", idempotency_key="once")
    refused(sender, recipient, idempotency_key="twice")
    assert IdempotencyRecord.objects.count() == 1


def test_a_repeat_is_answered_though_the_first_was_sent_and_blocked_meanwhile(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both after the repeat has looked for the first."""
    sent = list[Message]()
    find = type(IdempotencyRecord.objects.all()).find_existing

    def send_first(self: Any, record: IdempotencyRecord) -> Message | None:
        existing: Message | None = find(self, record)
        if not sent:
            monkeypatch.undo()
            sent.append(send(sender, recipient, idempotency_key="once"))
            Block.objects.block(recipient, sender)
        return existing

    monkeypatch.setattr(type(IdempotencyRecord.objects.all()), "find_existing", send_first)
    assert send(sender, recipient, idempotency_key="once") == sent[0]


def test_a_block_within_a_transaction(sender: User, recipient: User) -> None:
    with transaction.atomic():
        Block.objects.block(recipient, sender)
        refused(sender, recipient)
        Block.objects.unblock(recipient, sender)
        send(sender, recipient)
    with transaction.atomic():
        Block.objects.block(recipient, sender)
        transaction.set_rollback(True)
    send(sender, recipient)


@pytest.mark.parametrize("parts", [{}, {"idempotency_key": "once"}])
def test_a_send_asks_nothing_of_its_own_about_blocks(sender: User, recipient: User, parts: dict[str, Any]) -> None:
    with CaptureQueriesContext(connection) as context:
        send(sender, recipient, **parts)
    asked = [query["sql"] for query in context if "ossn_messaging_block" in query["sql"]]
    assert len(asked) == 1
    assert asked[0].lstrip().startswith("INSERT")


def test_a_block_costs_the_same_however_many_there_are(sender: User, recipient: User, stranger: User) -> None:
    def costs(do: Callable[[User, User], object]) -> int:
        with CaptureQueriesContext(connection) as context:
            do(sender, recipient)
        return len(context)

    verbs: list[Callable[[User, User], object]] = [
        Block.objects.block,
        Block.objects.block,
        lambda user, _other: blocked_by(user),
        Block.objects.unblock,
    ]
    alone = [costs(verb) for verb in verbs]
    for number in range(5):
        Block.objects.block(sender, User.objects.create_user(f"user {number}"))
        Block.objects.block(stranger, recipient)
    assert [costs(verb) for verb in verbs] == alone


def test_many_block_and_unblock_at_once(sender: User, recipient: User) -> None:
    def work(number: int) -> None:
        for turn in range(40):
            pair = (sender, recipient) if (turn + number) % 3 else (recipient, sender)
            (Block.objects.block if (turn + number) % 2 else Block.objects.unblock)(*pair)

    at_once(work)
    for pair in permutations((sender, recipient)):
        Block.objects.block(*pair)
    assert Block.objects.count() == 2


@pytest.mark.parametrize("name", ["block", "unblock"])
def test_the_victim_of_a_deadlock_tries_again(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    verb = getattr(Block.objects, name)
    left = [MAX_ATTEMPTS - 1]
    queryset = type(Block.objects.all())

    def fail_first(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise OperationalError(DEADLOCK, "Deadlock found")
            return method(*args, **kwargs)

        return run

    for method in ("bulk_create", "delete"):
        monkeypatch.setattr(queryset, method, fail_first(getattr(queryset, method)))
    if name == "unblock":
        Block.objects.create(user=sender, blocked_user=recipient)
    verb(sender, recipient)
    assert blocked_by(sender) == ([recipient] if name == "block" else [])
    left[0] = MAX_ATTEMPTS
    with pytest.raises(OperationalError):
        verb(sender, recipient)
    left[0] = 1
    with pytest.raises(OperationalError), transaction.atomic():
        verb(sender, recipient)


def test_no_send_that_begins_after_a_block_succeeds(sender: User, recipient: User) -> None:
    """One blocks, while the others send in both directions, with and without a file and a key."""
    blocked, late, early = threading.Event(), list[bool](), list[bool]()

    def work(number: int) -> None:
        if number == WORKERS - 1:
            while WORKERS > 1 and len(early) < 2 * WORKERS:
                pass
            Block.objects.block(recipient, sender)
            blocked.set()
        for turn in range(3 if blocked.is_set() else 10_000):
            pair = (sender, recipient) if turn % 2 else (recipient, sender)
            file = upload("dummy.pdf") if turn % 3 == 0 else None
            key = f"{number} {turn}" if turn % 5 == 0 else None
            was_blocked = blocked.is_set()
            try:
                send(*pair, upload=file, idempotency_key=key)
            except NotAllowed:
                if was_blocked and turn > 3:
                    break
            else:
                (late if was_blocked else early).append(True)

    at_once(work)
    assert late == []
    assert Message.objects.count() == len(early)
