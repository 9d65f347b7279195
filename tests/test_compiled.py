"""Queries whose SQL is made once find what they would if it were made each time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User, UserManager
from django.db import close_old_connections, connection, connections
from django.db.models import QuerySet, Value
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.exceptions import UserNotFound
from ossn_messaging.models import APIKey, Conversation, Message
from ossn_messaging.models.cached_query import Compiled
from ossn_messaging.models.users import get_sender_and_recipient
from tests.conftest import API


@pytest.fixture
def find() -> Compiled[User]:
    @Compiled
    def find(users: QuerySet[User], *ids: int, newest_first: bool = False) -> QuerySet[User]:
        return users.filter(pk__in=ids).order_by("-pk" if newest_first else "pk")

    return find


def test_each_execution_has_its_own_values(find: Compiled[User], sender: User, recipient: User) -> None:
    assert [find(User.objects.all(), user.pk) for user in (sender, recipient, sender)] == [
        [sender],
        [recipient],
        [sender],
    ]
    assert find(User.objects.all(), sender.pk, recipient.pk) == [sender, recipient]
    assert find(User.objects.all(), recipient.pk, sender.pk, newest_first=True) == [recipient, sender]
    sender.delete()
    assert find(User.objects.all(), recipient.pk, recipient.pk) == [recipient]


def test_the_objects_are_the_querysets(find: Compiled[User], sender: User) -> None:
    sender.refresh_from_db()
    (found,) = find(User.objects.all(), sender.pk)
    assert {field.attname: getattr(found, field.attname) for field in User._meta.fields} == {
        field.attname: getattr(sender, field.attname) for field in User._meta.fields
    }
    assert (found._state.db, found._state.adding) == ("default", False)


def test_what_one_asks_for_besides_is_not_what_others_get(find: Compiled[User], sender: User) -> None:
    find(User.objects.only("pk").annotate(more=Value(1)), sender.pk)
    (found,) = find(User.objects.all(), sender.pk)
    assert not found.get_deferred_fields()
    assert not hasattr(found, "more")


def test_the_sql_is_made_once(find: Compiled[User], sender: User, recipient: User) -> None:
    built = []
    build, find.build = find.build, lambda *args, **shape: built.append(args) or build(*args, **shape)  # type: ignore[func-returns-value]
    with CaptureQueriesContext(connection) as context:
        for user in (sender, recipient):
            find(User.objects.all(), user.pk)
    assert (len(built), len(context)) == (1, 2)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's in memory is one connection's")
def test_each_thread_has_its_own_connection(find: Compiled[User], sender: User) -> None:
    def in_thread(_turn: int) -> list[User]:
        try:
            return find(User.objects.all(), sender.pk)
        finally:
            connections.close_all()

    find(User.objects.all(), sender.pk)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(in_thread, range(4))) == [[sender]] * 4
    close_old_connections()


class Visible(UserManager[User]):
    """A site's own manager, which hides whom it will."""

    hidden = ""

    def get_queryset(self) -> QuerySet[User]:
        return super().get_queryset().exclude(username=self.hidden)


def test_the_managers_of_a_site_are_asked_each_time(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Visible()
    manager.model = User
    monkeypatch.setitem(vars(User._meta), "default_manager", manager)
    assert get_sender_and_recipient(str(sender.pk), str(recipient.pk)) == (sender, recipient)
    monkeypatch.setattr(manager, "hidden", recipient.username)
    with pytest.raises(UserNotFound):
        get_sender_and_recipient(str(sender.pk), str(recipient.pk))


def test_pages_are_as_long_as_the_settings_say_now(api: API, settings: Settings) -> None:
    numbers = [api.ok()["id"] for _ in range(3)]
    for size in (1, 2):
        settings.OSSN_MESSAGING = {"PAGE_SIZE": size}
        page = api.told("v2.0/message/list", guid=api.sender.pk, to=api.recipient.pk)["list"]
        assert [message["id"] for message in page] == numbers[-size:]


def test_a_part_of_the_conversations_stays_a_part(sender: User, recipient: User, stranger: User) -> None:
    for other in (recipient, stranger):
        Message.objects.send(sender=other, recipient=sender, text="Test")
    part = Conversation.objects.exclude(other_user=stranger)
    assert part.unread(sender) == (1, 1)
    assert part.count_for_user(sender) == 1
    assert [side.other_user for side in part.recent(sender)] == [recipient]
    assert part.between(sender, stranger).message_count == 0
    assert part.between(sender, recipient).message_count == 1


def test_a_key_is_looked_for_where_one_asks(sender: User, recipient: User) -> None:
    api_key, text = APIKey.objects.create_key("bound", users=[sender])
    assert sender.ossn_api_keys.find(text) == api_key
    assert recipient.ossn_api_keys.find(text) is None
