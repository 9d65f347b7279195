"""Queries whose SQL is built once find what they would find if it were built each time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User, UserManager
from django.db import close_old_connections, connection, connections, models
from django.db.models import QuerySet, Value
from django.test.utils import CaptureQueriesContext, isolate_apps
from pytest_django import Settings

from ossn_messaging.exceptions import UserNotFound
from ossn_messaging.models import APIKey, Conversation, Message
from ossn_messaging.models.cached_query import cached_query
from ossn_messaging.models.users import get_sender_and_recipient
from tests.support.api import API, upload
from tests.support.files import PDF

Find = Callable[..., list[User]]


@pytest.fixture
def find() -> Find:
    @cached_query()
    def find(users: QuerySet[User], *ids: int, newest_first: bool = False) -> QuerySet[User]:
        return users.filter(pk__in=ids).order_by("-pk" if newest_first else "pk")

    return find


def values_of(instance: models.Model) -> dict[str, Any]:
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.concrete_fields}


def test_each_execution_has_its_own_values(find: Find, sender: User, recipient: User) -> None:
    assert [find(User.objects.all(), user.pk) for user in (sender, recipient, sender)] == [
        [sender],
        [recipient],
        [sender],
    ]
    assert find(User.objects.all(), sender.pk, recipient.pk) == [sender, recipient]
    assert find(User.objects.all(), recipient.pk, sender.pk, newest_first=True) == [recipient, sender]
    sender.delete()
    assert find(User.objects.all(), recipient.pk, recipient.pk) == [recipient]


def test_the_objects_are_as_the_queryset_loads_them(find: Find, sender: User) -> None:
    sender.refresh_from_db()
    (found,) = find(User.objects.all(), sender.pk)
    assert values_of(found) == values_of(sender)
    assert (found._state.db, found._state.adding) == ("default", False)


def test_values_of_every_kind_are_converted(sender: User) -> None:
    api_key, _text = APIKey.objects.create_key("key", ["read"], users=[sender])
    (found,) = APIKey.objects.all().lookup(api_key.digest)
    assert (found.scopes, found.is_restricted, found.created_at) == (["read"], True, api_key.created_at)
    assert values_of(found) == values_of(APIKey.objects.get())
    assert [type(value) for value in values_of(found).values()] == [
        type(value) for value in values_of(APIKey.objects.get()).values()
    ]


@pytest.mark.parametrize("conversations", [Conversation.objects.all(), Conversation.objects.exclude(message_count=0)])
def test_related_objects_and_annotations_are_loaded(conversations: Any, sender: User, recipient: User) -> None:
    Message.objects.send(sender=sender, recipient=recipient, text="Test")
    Conversation.objects.between(recipient, sender).mark_read()
    expected = Conversation.objects.select_related("user", "other_user").get(user=sender)
    with CaptureQueriesContext(connection) as context:
        found = conversations.between_ids(sender.pk, recipient.pk)
        assert values_of(found) == values_of(expected)
        assert values_of(found.user) == values_of(expected.user)
        assert values_of(found.other_user) == values_of(expected.other_user)
        assert found.peer_last_read_sequence == 1
    assert len(context) == 1


def test_an_object_may_lack_its_related_object(sender: User, recipient: User) -> None:
    for file in (None, upload("letter.pdf", PDF)):
        Message.objects.send(sender=sender, recipient=recipient, text="Test", upload=file)
    side = Conversation.objects.between(sender, recipient)
    expected = Message.objects.get(attachment__isnull=False)
    with CaptureQueriesContext(connection) as context:
        newest, first = side.page()
        assert not hasattr(first, "attachment")
        assert values_of(newest.attachment) == values_of(expected.attachment)
        assert newest.attachment.message is newest
    assert len(context) == 1 + 1  # the page, and what the other user has read


class Reversed(models.CharField):  # type: ignore[type-arg]
    """A field that the site converts, such as one that is encrypted."""

    def from_db_value(self, value: str, expression: Any, connection: Any) -> str:
        return value[::-1]


def test_a_model_that_inherits_and_has_fields_of_the_site(sender: User, recipient: User) -> None:
    """The models read tables that are there: a member is a user with the conversation of that user."""
    Message.objects.send(sender=sender, recipient=recipient, text="Test")
    with isolate_apps("tests"):

        class Person(models.Model):  # noqa: DJ008
            username = Reversed(max_length=150)
            is_active = models.BooleanField()
            date_joined = models.DateTimeField()

            class Meta:
                app_label, managed, db_table = "tests", False, User._meta.db_table

        class Member(Person):  # noqa: DJ008
            person = models.OneToOneField(
                Person, models.CASCADE, parent_link=True, primary_key=True, db_column="user_id", related_name="+"
            )
            last_message_at = models.DateTimeField()

            class Meta:
                app_label, managed, db_table = "tests", False, Conversation._meta.db_table

        class Entry(models.Model):  # noqa: DJ008
            member = models.ForeignKey(Member, models.CASCADE, db_column="user_id", related_name="+")

            class Meta:
                app_label, managed, db_table = "tests", False, Conversation._meta.db_table

    @cached_query(related=("member",))
    def find_entries(entries: QuerySet[Entry], member_id: int) -> QuerySet[Entry]:
        return entries.filter(member=member_id)

    @cached_query()
    def find_members(members: QuerySet[Member], member_id: int) -> QuerySet[Member]:
        return members.filter(pk=member_id)

    (entry,) = find_entries(QuerySet(Entry), sender.pk)
    (member,) = find_members(QuerySet(Member), sender.pk)
    expected: Any = QuerySet(Member).get(pk=sender.pk)
    assert expected.username == sender.username[::-1]
    assert values_of(member) == values_of(entry.member) == values_of(expected)
    assert (member.pk, member.is_active, member.date_joined) == (sender.pk, True, sender.date_joined)


def test_annotations_of_a_caller_do_not_reach_others(find: Find, sender: User) -> None:
    find(User.objects.only("pk").annotate(more=Value(1)), sender.pk)
    (found,) = find(User.objects.all(), sender.pk)
    assert not found.get_deferred_fields()
    assert not hasattr(found, "more")


def test_a_filtered_queryset_keeps_what_the_site_adds(find: Find, sender: User) -> None:
    users = User.objects.exclude(username="").annotate(more=Value(1)).prefetch_related("groups")
    (found,) = find(users, sender.pk)
    with CaptureQueriesContext(connection) as context:
        assert (getattr(found, "more"), list(found.groups.all())) == (1, [])  # noqa: B009
    assert len(context) == 0


def test_the_sql_is_built_once(sender: User, recipient: User) -> None:
    built = []

    @cached_query()
    def find(users: QuerySet[User], user_id: int) -> QuerySet[User]:
        built.append(user_id)
        return users.filter(pk=user_id)

    with CaptureQueriesContext(connection) as context:
        for user in (sender, recipient):
            find(User.objects.all(), user.pk)
    assert (len(built), len(context)) == (1, 2)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's in memory is one connection's")
def test_each_thread_has_its_own_connection(find: Find, sender: User) -> None:
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
    assert get_sender_and_recipient(str(sender.pk), str(recipient.pk)) == (sender, recipient, False)
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
