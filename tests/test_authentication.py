"""API keys: how they are made, kept and found, and what they open."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.authentication import APIKeyUser
from ossn_messaging.models import APIKey
from tests.conftest import API, error_report
from tests.site import Behind, broken

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(db: None) -> str:
    return APIKey.objects.create_key("integrator")[1]


SECRET = ["never", "to", "be", "seen"]
"""In parts, because an error report shows lines of this source."""
HERE = {"user": "integrator", "anonymous": False, "key": "integrator"}


@pytest.mark.parametrize("scheme", ["Api-Key", "api-key", "API-KEY", "Api-Key "])
def test_the_header(client: Client, key: str, scheme: str) -> None:
    assert client.get("/whoami", headers={"Authorization": f"{scheme} {key}"}).json() == HERE


def test_the_query_the_form_and_json(client: Client, key: str) -> None:
    assert client.get("/whoami", {"api_key_token": key}).json() == HERE
    form = client.post("/whoami", urlencode({"api_key_token": key}), "application/x-www-form-urlencoded")
    assert form.json() == HERE
    assert client.post("/whoami", {"api_key_token": key}, "application/json").json() == HERE


@pytest.mark.parametrize("body", [[1], "text", None, {"api_key_token": {"a": 1}}, {"api_key_token": 7}])
def test_json_without_a_key(client: Client, key: str, body: Any) -> None:
    assert client.post("/whoami", json.dumps(body), "application/json").status_code == 401
    with_query = client.post(f"/whoami?api_key_token={key}", json.dumps([1]), "application/json")
    assert with_query.json() == HERE


@pytest.mark.parametrize(
    "header", ["", "Basic abc", "Bearer abc", "Api-Key", "Api-Key ", "Api-Key nope", "Api-Key \xe9"]
)
def test_no_key_or_a_wrong_one(client: Client, key: str, header: str) -> None:
    response = client.get("/whoami", headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Api-Key realm="api"'


def test_a_wrong_key_is_told_from_none(client: Client, key: str) -> None:
    assert client.get("/whoami", {"api_key_token": "nope"}).json() == {"detail": "The API key is missing or not valid"}
    assert client.get("/whoami").json() == {"detail": "Authentication credentials were not provided."}


def test_the_header_comes_before_the_parameters(client: Client, key: str) -> None:
    headers = {"Authorization": "Api-Key nope"}
    assert client.get("/whoami", {"api_key_token": key}, headers=headers).status_code == 401


def test_only_a_digest_is_kept() -> None:
    api_key, key = APIKey.objects.create_key("integrator")
    assert re.fullmatch(r"ossn_[A-Za-z0-9_-]{43}", key), "32 random bytes in base64"
    row = APIKey.objects.filter(pk=api_key.pk).values().get()
    assert key not in str(row)
    assert key not in f"{api_key!r} {api_key} {vars(api_key)}"
    assert APIKey._meta.get_field("digest").unique
    with pytest.raises(IntegrityError):
        APIKey.objects.create(name="twin", digest=api_key.digest)


def test_every_key_is_another() -> None:
    assert len({APIKey.objects.create_key("one")[1] for _ in range(50)}) == 50


def test_holders_of_different_keys_are_different() -> None:
    """A throttle of the site's own counts each for itself, and none is taken for the user of that number."""
    one, two = (APIKeyUser(APIKey.objects.create_key(name)[0]) for name in ("one", "two"))
    assert one == APIKeyUser(APIKey.objects.get(name="one"))
    assert hash(one) == hash(APIKeyUser(APIKey.objects.get(name="one")))
    assert one != two
    assert len({one, two}) == 2
    assert hash(one) != hash(two), "a table of many holders is no list"
    with pytest.raises(ValueError, match="expected a number"):
        User.objects.filter(pk=str(one.pk)).exists()


def test_a_key_that_is_revoked_or_expired() -> None:
    api_key, key = APIKey.objects.create_key("integrator", expires_at=timezone.now() + timedelta(hours=1))
    found = APIKey.objects.find(key)
    assert found == api_key
    assert found.is_active
    APIKey.objects.update(expires_at=timezone.now())
    assert APIKey.objects.find(key) is None
    api_key, key = APIKey.objects.create_key("integrator")
    api_key.revoke()
    revoked_at = api_key.revoked_at
    assert revoked_at is not None
    assert APIKey.objects.find(key) is None
    api_key.revoke()
    assert api_key.revoked_at == revoked_at
    with pytest.raises(ValueError, match=r"^The key is revoked or expired\.$"):
        api_key.rotate(timedelta(days=1))


def test_a_key_expires_at_the_very_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    end = timezone.now() + timedelta(hours=1)
    api_key, key = APIKey.objects.create_key("integrator", expires_at=end)
    for moment, active in ((end - timedelta(microseconds=1), True), (end, False)):
        monkeypatch.setattr(timezone, "now", lambda moment=moment: moment)
        assert (api_key.is_active, APIKey.objects.find(key) == api_key) == (active, active)


def test_a_key_that_is_revoked_keeps_what_is_still_to_be_saved() -> None:
    api_key, _key = APIKey.objects.create_key("integrator")
    api_key.name = "renamed"
    api_key.revoke()
    assert (api_key.name, api_key.is_active) == ("renamed", False)


@pytest.mark.sends
def test_an_empty_header_is_none(api: API) -> None:
    assert api.send(headers={"Authorization": "Api-Key "})["code"] == "100"


def test_every_key_is_looked_up_in_the_same_way() -> None:
    """One query of one shape, whether the key is active, revoked or unknown."""
    active, revoked = (APIKey.objects.create_key(name)[1] for name in ("active", "revoked"))
    APIKey.objects.filter(name="revoked").revoke()
    APIKey.objects.touch()
    shapes = set()
    for key in (active, revoked, active[:-1], "nope", "\ud800"):
        with CaptureQueriesContext(connection) as context:
            APIKey.objects.find(key)
        shapes.add(tuple(re.sub(r"'[^']*'", "?", query["sql"]) for query in context))
    assert len(shapes) == 1
    assert [sql.count("SELECT") for sql in shapes.pop()] == [1]


def test_a_digest_that_the_database_takes_for_equal(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    APIKey.objects.update(digest="A" * 64)
    monkeypatch.setattr("ossn_messaging.models.api_keys.digest_of", lambda key: "a" * 64)
    assert APIKey.objects.find(key) is None


class Apart(Behind):
    """A router for a site that has the app's tables in another database than all else."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "ahead" if model._meta.app_label == "ossn_messaging" else None


@pytest.fixture
def ahead(transactional_db: None) -> Iterator[BaseDatabaseWrapper]:
    """A connection of its own to the database of the tests, for which the transactions of the other do not count."""
    connections.settings["ahead"] = {**connections.settings["default"]}
    connections["ahead"].connect()
    yield connections["ahead"]
    connections["ahead"].connection.close()  # Django's own way leaves one to a database in memory open
    del connections["ahead"], connections.settings["ahead"]


def test_keys_are_handled_where_they_are_written(ahead: BaseDatabaseWrapper, settings: Settings) -> None:
    """There is no database to read from here, so whatever asks it fails."""
    settings.DATABASE_ROUTERS = [Apart()]
    imported = APIKey.objects.import_key("integrator", "-".join(SECRET))
    api_key, _key = APIKey.objects.create_key("integrator")
    _made, key = api_key.rotate(timedelta(hours=1))
    assert api_key.expires_at is not None
    assert APIKey.objects.find(key) is not None
    imported.revoke()
    assert APIKey.objects.find("-".join(SECRET)) is None


def test_keys_of_another_database(ahead: BaseDatabaseWrapper) -> None:
    keys = APIKey.objects.db_manager("ahead")
    with CaptureQueriesContext(connection) as here:
        keys.import_key("integrator", "-".join(SECRET))
        api_key, key = keys.create_key("integrator")
        api_key.rotate(timedelta(hours=1))
        assert keys.find(key) == api_key
    assert list(here) == []


@pytest.mark.parametrize(
    ("place", "do"),
    [
        ("models.APIKey.restrict_to", lambda api_key: APIKey.objects.create_key("integrator")),
        ("models.APIKey.restrict_to", lambda api_key: APIKey.objects.import_key("integrator", "-".join(SECRET))),
        ("models.api_keys.APIKeyQuerySet.expire_by", lambda api_key: api_key.rotate(timedelta(days=1))),
    ],
    ids=["create_key", "import_key", "rotate"],
)
def test_a_key_is_made_whole_or_not_at_all(
    ahead: BaseDatabaseWrapper,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    do: Callable[[APIKey], Any],
) -> None:
    """For one that is not restricted yet may act as anyone."""
    api_key = APIKey.objects.create_key("integrator")[0]
    settings.DATABASE_ROUTERS = [Apart()]
    monkeypatch.setattr(f"ossn_messaging.{place}", broken)
    with pytest.raises(ZeroDivisionError):
        do(api_key)
    assert list(APIKey.objects.using("default")) == [api_key]


def test_a_key_is_issued_once(key: str) -> None:
    """What clients have goes on working."""
    with pytest.raises(IntegrityError), transaction.atomic():
        APIKey.objects.issue(APIKey.objects.get())
    assert APIKey.objects.find(key) is not None


@pytest.mark.parametrize(
    ("place", "do"),
    [
        ("models.APIKey.save", APIKey.objects.issue),
        ("models.APIKey.restrict_to", lambda api_key: APIKey.objects.create_key("integrator")),
        ("models.APIKey.restrict_to", lambda api_key: APIKey.objects.import_key("integrator", "-".join(SECRET))),
        ("models.api_keys.APIKeyQuerySet.expire_by", lambda api_key: api_key.rotate(timedelta(days=1))),
    ],
    ids=["issue", "create_key", "import_key", "rotate"],
)
def test_an_error_report_has_no_key(monkeypatch: pytest.MonkeyPatch, place: str, do: Callable[[APIKey], Any]) -> None:
    api_key = APIKey.objects.create_key("integrator")[0]
    monkeypatch.setattr("ossn_messaging.models.api_keys.secrets.token_urlsafe", lambda size: "-".join(SECRET))
    monkeypatch.setattr(f"ossn_messaging.{place}", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        do(api_key)
    report = error_report(caught.value)
    assert "api_keys.py" in report
    assert "-".join(SECRET) not in report
