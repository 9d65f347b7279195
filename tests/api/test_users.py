"""Who a user is to others, and who the user of a request is to the site."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, User
from django.db import models
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps
from pytest_django import Settings

from ossn_messaging.api.avatars import avatar_hash, avatar_url
from ossn_messaging.api.serializers import user_object
from ossn_messaging.models import APIKey
from ossn_messaging.signals import message_sent
from tests import site
from tests.support.api import API, SEND, fetch, upload

ADDRESS = "anna@example.org"


class WithAddress(AbstractBaseUser):
    """The user model of a site whose users log in with their e-mail address, and have no usernames."""

    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"

    class Meta:
        abstract = True


@pytest.fixture
def isolated() -> Iterator[None]:
    with isolate_apps("tests"):
        yield


def shown(user: AbstractBaseUser) -> dict[str, Any]:
    """Return the user object of a user, who need not be in the database."""
    return user_object(RequestFactory().get("/"), user, "smaller")


@pytest.mark.usefixtures("isolated")
class TestUsersWithoutUsernames:
    def assert_only_the_id_is_shown(self, user: AbstractBaseUser, full_name: str = "7") -> None:
        found = shown(user)
        assert (found["guid"], found["username"], found["fullname"]) == (7, "7", full_name)
        assert found["icon"] == {
            size: f"http://testserver/avatar/7/{size}/{avatar_hash('7', size)}.jpeg" for size in ("small", "smaller")
        }
        assert "anna" not in str(found)

    def test_an_address_is_not_shown(self) -> None:
        class Member(WithAddress):
            class Meta:
                app_label = "members"

        self.assert_only_the_id_is_shown(Member(pk=7, email=ADDRESS))

    def test_a_full_name_that_is_the_address_is_not_shown(self) -> None:
        class Member(WithAddress):
            class Meta:
                app_label = "members"

            def get_full_name(self) -> str:
                return self.email

        self.assert_only_the_id_is_shown(Member(pk=7, email=ADDRESS))

    def test_another_full_name_is(self) -> None:
        class Member(WithAddress):
            class Meta:
                app_label = "members"

            def get_full_name(self) -> str:
                return "A Member"

        self.assert_only_the_id_is_shown(Member(pk=7, email=ADDRESS), "A Member")

    def test_a_model_of_django_without_its_usernames(self) -> None:
        class Member(AbstractUser):
            username = None  # type: ignore[assignment]
            email = models.EmailField(unique=True)
            USERNAME_FIELD = "email"
            REQUIRED_FIELDS = ()  # type: ignore[assignment]

            class Meta:
                app_label = "members"

        self.assert_only_the_id_is_shown(Member(pk=7, email=ADDRESS))
        self.assert_only_the_id_is_shown(Member(pk=7, email=ADDRESS, first_name="A", last_name="Member"), "A Member")

    def test_a_site_says_how_to_show_them(self, settings: Settings) -> None:
        class Member(WithAddress):
            class Meta:
                app_label = "members"

        settings.OSSN_MESSAGING = {"USER_DISPLAY": "tests.site.public_names"}
        found = shown(Member(pk=7, email=ADDRESS))
        assert (found["username"], found["fullname"]) == ("member-7", "A Member")
        assert found["icon"]["small"] == f"http://testserver/avatar/7/small/{avatar_hash('7', 'small')}.jpeg"

    def test_a_username_beside_the_address_is_shown(self) -> None:
        class Member(AbstractUser):
            email = models.EmailField(unique=True)
            USERNAME_FIELD = "email"
            REQUIRED_FIELDS = ()  # type: ignore[assignment]

            class Meta:
                app_label = "members"

        found = shown(Member(pk=7, email=ADDRESS, username="ann"))
        assert (found["username"], found["fullname"]) == ("ann", "ann")
        assert urlsplit(found["icon"]["small"]).path.startswith("/avatar/ann/small/")
        assert shown(Member(pk=7, email=ADDRESS, username=""))["username"] == "7"


@pytest.mark.parametrize(
    ("first_name", "last_name", "full_name"),
    [
        (None, None, "anna"),
        ("", "", "anna"),
        ("Anna", None, "Anna"),
        (None, "Lake", "Lake"),
        ("Anna", "Lake", "Anna Lake"),
    ],
)
def test_names_that_are_missing(first_name: str | None, last_name: str | None, full_name: str) -> None:
    user = User(pk=7, username="anna", first_name=first_name, last_name=last_name)  # type: ignore[misc]
    assert shown(user)["fullname"] == full_name


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("m7", "A Member"), ("m7", "A Member")), (("m7", ""), ("m7", "m7")), (("m7", None), ("m7", "m7"))],
)
def test_the_names_that_a_site_shows(
    api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str | None], expected: Any
) -> None:
    settings.OSSN_MESSAGING = {"USER_DISPLAY": "tests.site.public_names"}
    monkeypatch.setattr(site, "public_names", lambda user: names)
    payload = api.ok()
    user = payload["message_to"]
    assert (user["username"], user["fullname"]) == expected
    assert urlsplit(user["icon"]["small"]).path == f"/avatar/m7/small/{avatar_hash('m7', 'small')}.jpeg"
    assert api.client.get(user["icon"]["small"]).status_code == 200
    assert api.recipient.username not in str(payload), "not even in the URL of the avatar"


def test_the_sites_avatar_comes_before_the_default(sender: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"USER_AVATAR": "tests.site.own_icon"}
    assert avatar_url(RequestFactory().get("/"), sender, sender.username, "small").endswith(
        f"/icons/{sender.pk}-small.png"
    )


# The user of the site's request


PATHS = [SEND, "/api/v2.0/message/unread", "/api/v2.0/message/nothing"]
OBSERVING = "tests.site.ObservedUser"


@pytest.fixture
def observed(settings: Settings) -> Iterator[list[Any]]:
    """The primary keys of ``request.user`` before and after each view, with ``request.auth`` after it."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, OBSERVING]
    site.ObservedUser.seen = []
    yield site.ObservedUser.seen
    site.ObservedUser.seen = []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("logged_in", [True, False])
@pytest.mark.parametrize("given", ["right", "wrong", "absent"])
def test_the_user_of_the_session_stays(
    api: API, stranger: User, observed: list[Any], path: str, logged_in: bool, given: str
) -> None:
    """A middleware of the site may save that user after the view."""
    client, expected = Client(), None
    if logged_in:
        client.force_login(stranger)
        expected = stranger.pk
    fields = api.fields(guid=api.sender.pk, api_key_token={"right": api.key, "wrong": "wrong", "absent": None}[given])
    client.post(path, fields)
    ((before, after, auth),) = observed
    assert (before, after) == (expected, expected)
    is_authenticated = given == "right" and not path.endswith("nothing")
    assert auth == (APIKey.objects.get() if is_authenticated else None)


def test_a_receiver_sees_the_user_of_the_session(api: API, stranger: User, observed: list[Any]) -> None:
    users = []

    def note(**kwargs: Any) -> None:
        users.append(site.ObservedUser.request.user.pk)

    api.client.force_login(stranger)
    message_sent.connect(note)
    try:
        api.ok()
    finally:
        message_sent.disconnect(note)
    assert users == [stranger.pk]


def test_files_are_given_to_the_user_of_the_session(api: API, stranger: User, observed: list[Any]) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]
    client = Client()
    client.force_login(api.recipient)
    for headers in ({}, {"Authorization": f"Api-Key {api.key}"}, {"Authorization": "Api-Key wrong"}):
        assert fetch(client, url, headers=headers)[0].status_code == 200
        assert observed[-1][:2] == (api.recipient.pk, api.recipient.pk)


@pytest.mark.parametrize("given", ["right", "wrong"])
def test_a_site_without_sessions(api: API, settings: Settings, given: str) -> None:
    """Django's requests have no user there, and have none after the view."""
    settings.MIDDLEWARE = [OBSERVING]
    site.ObservedUser.seen = []
    fields = api.fields(api_key_token=api.key if given == "right" else "wrong")
    answer = api.read(api.client.post(SEND, fields))
    assert answer["code"] == ("100" if given == "right" else "106")
    ((before, after, _auth),) = site.ObservedUser.seen
    assert (before, after) == ("no user", "no user")


def test_in_a_view_of_the_site_the_user_is_authenticated_and_has_no_row(api: API) -> None:
    """As the manual says (docs/howto/keys.md)."""
    response = Client().get("/whoami", headers={"Authorization": f"Api-Key {api.key}"})
    name = APIKey.objects.get().name
    assert response.json() == {"user": name, "anonymous": False, "key": name}
    assert not User.objects.filter(username=name).exists()


# What an error says of a parameter


@pytest.mark.parametrize(
    ("path", "parameters", "text"),
    [
        ("list", {"before": "x"}, "Message list failed: `before` must be a whole number above 0, and not `x`"),
        ("delete", {"id": "1.0"}, "Message delete failed: `id` must be a whole number above 0, and not `1.0`"),
        ("delete", {"id": "1", "for": "you"}, "Message delete failed: `for` must be `all` or `me`, and not `you`"),
        ("delete", {"id": "999"}, "Message delete failed: this user has no message with the `id` `999`"),
        ("delete", {}, "Message delete failed: `id` must be a whole number above 0, and not ``"),
    ],
)
def test_an_error_names_the_parameter_and_the_value(api: API, path: str, parameters: dict[str, str], text: str) -> None:
    answer = api.ask(f"v2.0/message/{path}", guid=api.sender.pk, to=api.recipient.pk, **parameters)
    assert (answer["code"], answer["message"]) == ("200", text)


def test_a_body_that_can_not_be_read_says_so_before_a_missing_key(api: API) -> None:
    answer = api.send_raw(b"{", "application/json")
    assert answer["code"] == "200"
    assert answer["message"].startswith("Message send failed: the request could not be read: the body is not a JSON")
    assert api.send_raw(b"{}", "application/json")["code"] == "106"
