"""Which database is asked, on a site that has several, or copies that are behind."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from pytest_django import Settings

from ossn_messaging.exceptions import NotAllowed, UserNotPermitted
from ossn_messaging.models import APIKey, Block, Conversation, IdempotencyRecord, Message
from tests.support.api import upload

THERE = "there"


class Nothing:
    """In the place of a database of which nothing may be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the default database is asked for {name}")


class AllBehind:
    """A router that lets a copy of the database be read, by the app and by all else; there is none, so that fails."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return "behind"

    def allow_relation(self, *objects: models.Model, **hints: Any) -> bool:
        return True


class Told(AllBehind):
    """A router for a site that says each time in which of its databases something is to be done."""

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "nowhere"


class WhereItIs(AllBehind):
    """A router for a site that has each thing changed where it is."""

    def db_for_write(self, model: type[models.Model], instance: models.Model | None = None, **hints: Any) -> str | None:
        is_known = model._meta.app_label == "ossn_messaging" and instance is not None
        return instance._state.db if is_known and instance is not None else "nowhere"


class OfTheApp(AllBehind):
    """A router for a site that keeps all of the app in a database that is not its default one."""

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return THERE if model._meta.app_label == "ossn_messaging" else "nowhere"


@pytest.fixture
def there(sender: User, recipient: User) -> Iterator[None]:
    """Give the database another name than that of the default one, in whose place there is none."""
    database, nothing = connections[DEFAULT_DB_ALIAS], cast("Any", Nothing())
    database.alias = THERE
    connections[THERE], connections[DEFAULT_DB_ALIAS] = database, nothing
    for user in (sender, recipient):
        user._state.db = THERE
    yield
    database.alias = DEFAULT_DB_ALIAS
    connections[DEFAULT_DB_ALIAS] = database
    del connections[THERE]


def test_keys_are_read_where_they_are_written(
    sender: User, recipient: User, stranger: User, settings: Settings
) -> None:
    settings.DATABASE_ROUTERS = [AllBehind()]
    api_key, text = APIKey.objects.create_key("bound", users=[sender, stranger])
    assert APIKey.objects.find(text) == api_key
    made, _text = api_key.rotate(timedelta(days=1))
    assert api_key.expires_at is not None
    for one in (api_key, made):
        one.require("send", stranger.pk)
        with pytest.raises(UserNotPermitted):
            one.require("send", recipient.pk)
        one.revoke()
        assert not one.is_active


def test_a_key_stays_in_its_database(sender: User, there: None, settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [WhereItIs()]
    api_key, text = APIKey.objects.db_manager(THERE).create_key("bound", users=[sender])
    assert APIKey.objects.db_manager(THERE).find(text) == api_key
    api_key.require("send", sender.pk)
    made, _text = api_key.rotate(timedelta(days=1))
    made.revoke()
    made.restrict_to([])
    kept = APIKey.objects.using(THERE).values_list("is_restricted", "expires_at", "revoked_at")
    assert set(kept) == {(True, api_key.expires_at, None), (False, None, made.revoked_at)}


@pytest.mark.sends
def test_what_is_asked_of_one_database_is_done_there(
    sender: User, recipient: User, there: None, settings: Settings
) -> None:
    settings.DATABASE_ROUTERS = [Told()]
    messages, conversations = Message.objects.using(THERE), Conversation.objects.using(THERE)
    options: dict[str, Any] = {"sender": sender, "recipient": recipient, "idempotency_key": "once"}
    sent, again = (
        Message.objects.db_manager(THERE).send(**options, text="Test", upload=upload("dummy.pdf")) for _ in range(2)
    )
    assert (again, again.replayed_from) == (sent, IdempotencyRecord.objects.using(THERE).get())
    assert conversations.unread(recipient) == (1, 1)
    assert conversations.count_for_user(recipient) == 1
    for side in (
        conversations.between(recipient, sender),
        *conversations.for_user(recipient),
        *conversations.recent(sender),
    ):
        assert [side.message_count, *side.page(), *side.page(before=sent.pk)] == [1, sent]
    assert conversations.recent(sender, 2) == []
    assert messages.select_related("attachment").get().attachment.name == "dummy.pdf"
    assert messages.all().delete_for(sender) == 1
    assert conversations.between(sender, recipient).message_count == 0


@pytest.mark.sends
def test_the_app_has_a_database_of_its_own(sender: User, recipient: User, there: None, settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [OfTheApp()]
    api_key, text = APIKey.objects.create_key("bound", users=[sender])
    assert APIKey.objects.find(text) == api_key
    made, _text = api_key.rotate(timedelta())
    api_key.revoke()
    options: dict[str, Any] = {"sender": sender, "recipient": recipient, "text": "Test", "api_key": made}
    for file in (None, upload("dummy.pdf")):
        sent = Message.objects.send(**options, upload=file, idempotency_key=str(file))
        assert Message.objects.send(**options, upload=file, idempotency_key=str(file)) == sent
    side = Conversation.objects.between(recipient, sender)
    assert (len(side.page()), side.mark_read(), Conversation.objects.unread(recipient)) == (2, 2, (0, 0))
    assert [side.newest_message for side in Conversation.objects.recent(sender)] == [sent]
    assert Message.objects.using(THERE).all().delete_for_both() == 2


@pytest.mark.sends
def test_what_is_changed_is_changed_where_it_is(sender: User, recipient: User, there: None, settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [WhereItIs()]
    messages, conversations = Message.objects.using(THERE), Conversation.objects.using(THERE)
    for _ in range(3):
        Message.objects.db_manager(THERE).send(sender=sender, recipient=recipient, text="Test")
    side = conversations.between(recipient, sender)
    assert len(side.unread_messages()) == 3
    assert side.mark_read() == 3
    assert messages.all().delete_for(sender) == 3
    assert messages.all().delete_for_both() == 3
    with transaction.atomic(using=THERE):
        messages.order_by("pk")[0].delete()
    assert list(conversations.order_by("message_count").values_list("message_count", flat=True)) == [0, 2]


@pytest.mark.sends
@pytest.mark.parametrize("router", [Told(), OfTheApp()])
def test_blocks_are_read_where_they_are_written(
    sender: User, recipient: User, there: None, settings: Settings, router: Any
) -> None:
    settings.DATABASE_ROUTERS = [router]
    blocks, messages = Block.objects.db_manager(THERE), Message.objects.db_manager(THERE)
    if isinstance(router, OfTheApp):
        blocks, messages = Block.objects, Message.objects
    blocks.block(sender, recipient)
    assert list(blocks.blocked_by(sender)) == [recipient]
    for file in (None, upload("dummy.pdf")):
        with pytest.raises(NotAllowed):
            messages.send(sender=recipient, recipient=sender, text="Test", upload=file)
    blocks.unblock(sender, recipient)
    assert list(blocks.blocked_by(sender)) == []
    messages.send(sender=recipient, recipient=sender, text="Test")
