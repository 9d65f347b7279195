"""The settings, and what the system checks say of those that can't work."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.files.storage import InMemoryStorage
from django.db import connection, models
from pytest_django import Settings

from ossn_messaging.checks import check_databases, check_settings
from ossn_messaging.conf import Settings as AppSettings
from tests.support.storage import keep_attachments_in

pytestmark = pytest.mark.django_db  # from Django 6.1 on, checks of models ask the database what it can do


def ids() -> list[str]:
    messages: list[CheckMessage] = [message for message in run_checks() if message.id.startswith("ossn_messaging.")]  # type: ignore[union-attr]
    assert all(message.hint for message in messages)
    return [str(message.id) for message in messages]


def test_a_site_that_is_set_up_well(settings: Settings) -> None:
    assert ids() == []
    settings.OSSN_MESSAGING = {name: setting.default for name, setting in AppSettings.all().items()}
    assert ids() == []
    settings.OSSN_MESSAGING = {
        "USER_DISPLAY": "tests.site.public_names",
        "USER_AVATAR": "tests.site.own_icon",
        "CAN_SEND": "tests.site.only_to_recipients_named_s",
        "SITE_URL": "https://example.com",
        "ATTACHMENT_EXTENSIONS": ["pdf"],
        "ATTACHMENT_URL_MAX_AGE": None,
        "ATTACHMENT_VALIDATORS": [
            "tests.site.no_drafts",
            "django.core.validators.validate_image_file_extension",
        ],
        "X_ACCEL_REDIRECT": "/protected/",
        "THROTTLE_RATES": {"key": "1000/day", "sender": "20/min", "failed_auth": "5/s"},
        "NUM_PROXIES": 2,
    }
    assert ids() == []


def test_not_a_dict(settings: Settings) -> None:
    settings.OSSN_MESSAGING = ["ENABLED"]
    assert ids() == ["ossn_messaging.E001"]


def test_an_unknown_key(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ENABLE": True}
    (error,) = check_settings()
    assert error.id == "ossn_messaging.E002"
    assert "'ENABLE'" in error.msg
    assert "ENABLED" in str(error.hint)


WRONG: dict[str, list[Any]] = {
    "SITE_NAME": [1, "", b"x"],
    "SITE_URL": ["example.com", "", 1, "http://", "http://[bad", "ftp://example.com"],
    "ENABLED": [1, "yes", None],
    "HTTP_STATUS": ["REST", None],
    "MESSAGE_FORMAT": ["markdown", None],
    "ALLOW_GET": [0, None],
    "SESSION_API": [1, "yes", None],
    "PAGE_SIZE": [0, "10", None],
    "MAX_MESSAGE_LENGTH": [0, -1, "10", 1.5, True, None],
    "ATTACHMENT_EXTENSIONS": ["pdf", ["exe"], [1], [["pdf"]], None],
    "ATTACHMENT_MAX_SIZE": [0, "25M", None],
    "ATTACHMENT_ACTIVE_CONTENT": ["", "none", None, True],
    "IMAGE_MAX_PIXELS": [0, None],
    "INSPECTION_PROCESSES": [-1, None, "1", 1.0, True],
    "INSPECTION_MEMORY": [0, 1024 * 1024, "1G", None],
    "INSPECTION_PROCESSOR_SECONDS": [0, 1.5, None],
    "ATTACHMENT_VALIDATORS": [None, "tests.site.no_drafts", [1], [""], [len]],
    "ATTACHMENT_URL_MAX_AGE": [0, -1, "1d", True],
    "ATTACHMENT_PREFIX": [1, "", len],
    "X_ACCEL_REDIRECT": ["", "protected", "/protected", "protected/", 1],
    "USER_DISPLAY": [1, "", len],
    "USER_AVATAR": [1, "", len],
    "CAN_SEND": [1, "", len],
    "IS_ONLINE": [1, "", len],
    "THROTTLE_RATES": [None, [], {"keys": "1/m"}, {"key": 10}, {"key": "10"}, {"key": "0/min"}, {"key": "1/week"}],
    "NUM_PROXIES": [-1, None, "1", 1.0, True],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value(settings: Settings, name: str, value: Any) -> None:
    settings.OSSN_MESSAGING = {name: value}
    (error,) = check_settings()
    assert error.id == "ossn_messaging.E003"
    assert name in error.msg


def test_every_setting_has_wrong_values() -> None:
    assert list(WRONG) == list(AppSettings.all())


@pytest.mark.parametrize("path", ["nothing", "tests.nothing.here", "tests.site.nothing", "tests.site.NOT_CALLABLE"])
def test_a_path_that_leads_nowhere(settings: Settings, path: str) -> None:
    for name, value in {
        "USER_DISPLAY": path,
        "USER_AVATAR": path,
        "CAN_SEND": path,
        "IS_ONLINE": path,
        "ATTACHMENT_VALIDATORS": [path],
    }.items():
        settings.OSSN_MESSAGING = {name: value}
        assert ids() == ["ossn_messaging.E004"]


@pytest.mark.parametrize(
    "storage",
    [{"BACKEND": "nothing.here"}, {"BACKEND": "ossn_messaging.storage.LocalAttachmentStorage", "OPTIONS": {"a": 1}}],
)
def test_a_storage_that_is_none(settings: Settings, storage: dict[str, Any]) -> None:
    settings.STORAGES = {**settings.STORAGES, "ossn_messaging": storage}
    assert ids() == ["ossn_messaging.E005"]


def test_nginx_can_not_give_out_what_is_elsewhere(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"X_ACCEL_REDIRECT": "/protected/"}
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    assert ids() == ["ossn_messaging.E009"]


def test_no_storage(settings: Settings) -> None:
    del settings.BASE_DIR
    assert ids() == ["ossn_messaging.E005"]


PUBLIC: list[dict[str, Any]] = [
    {"custom_domain": "cdn.example.com"},
    {"querystring_auth": False},
    {"default_acl": "public-read"},
]


def keep_media_in(settings: Settings, alias: str = "default", **options: Any) -> None:
    settings.STORAGES = {**settings.STORAGES, alias: {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        *(({"bucket_name": "one", **options}, "ossn_messaging.E012") for options in PUBLIC),
        ({"bucket_name": "one", "object_parameters": {"ACL": "public-read"}}, "ossn_messaging.E012"),
        ({"bucket_name": "one"}, "ossn_messaging.W005"),
        ({"bucket_name": "one", "location": "attachments"}, "ossn_messaging.W005"),
        ({"bucket_name": "one", "location": "attach"}, None),
        ({"bucket_name": "one", "location": "media"}, None),
        ({"bucket_name": "two"}, None),
        ({"bucket_name": "one", "endpoint_url": "https://s3.example.com"}, None),
        ({"bucket_name": "one", "no such option": True}, None),
    ],
)
def test_attachments_in_the_bucket_of_the_media(
    settings: Settings, media: dict[str, Any], expected: str | None
) -> None:
    keep_attachments_in(
        settings, "ossn_messaging.storage.S3AttachmentStorage", bucket_name="one", location="attachments/"
    )
    keep_media_in(settings, **media)
    assert ids() == ([expected] if expected else [])


def test_two_storages_without_options(settings: Settings) -> None:
    """Both take the settings of the media."""
    settings.AWS_STORAGE_BUCKET_NAME = "one"
    settings.AWS_QUERYSTRING_AUTH = False
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage")
    keep_media_in(settings, "media")
    (error,) = check_settings()
    assert error.id == "ossn_messaging.E012"
    assert "'one'" in error.msg
    assert 'STORAGES["media"]' in error.msg


def test_the_media_have_the_public_name_of_the_same_server(settings: Settings) -> None:
    keep_attachments_in(
        settings,
        "ossn_messaging.storage.S3AttachmentStorage",
        bucket_name="one",
        endpoint_url="http://minio:9000",
        public_endpoint_url="https://s3.example.com",
    )
    keep_media_in(settings, bucket_name="one", endpoint_url="https://s3.example.com", querystring_auth=False)
    assert ids() == ["ossn_messaging.E012"]


def test_a_public_name_that_is_none(settings: Settings) -> None:
    options = {"bucket_name": "one", "public_endpoint_url": "s3.example.com"}
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", **options)
    assert ids() == ["ossn_messaging.E005"]


def test_a_prefix_that_the_storage_does_not_add(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_PREFIX": "tests.site.own_icon"}
    assert ids() == []
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", bucket_name="one")
    assert ids() == []
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    assert ids() == ["ossn_messaging.E016"]


@pytest.mark.parametrize("name", ["MEDIA_ROOT", "STATIC_ROOT"])
def test_attachments_where_anyone_could_have_them(settings: Settings, tmp_path: Path, name: str) -> None:
    setattr(settings, name, str(tmp_path))
    assert ids() == ["ossn_messaging.E006"]


def test_a_user_model_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class User:
        username = "a field"

        class _meta:  # noqa: N801
            pk: Any = models.UUIDField()

    monkeypatch.setattr("ossn_messaging.checks.get_user_model", lambda: User)
    assert ids() == ["ossn_messaging.E007"]
    User._meta.pk = models.OneToOneField("auth.User", models.CASCADE)
    User._meta.pk.remote_field.model = type("Model", (), {})
    monkeypatch.setattr(models.ForeignKey, "target_field", models.BigAutoField())
    assert ids() == []


@pytest.mark.parametrize("attributes", [{}, {"username": None}])
def test_a_user_model_without_usernames(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, None]
) -> None:
    model = type("Member", (), {**attributes, "_meta": User._meta})
    monkeypatch.setattr("ossn_messaging.checks.get_user_model", lambda: model)
    assert ids() == ["ossn_messaging.W004"]
    settings.OSSN_MESSAGING = {"USER_DISPLAY": "tests.site.public_names"}
    assert ids() == []
    settings.OSSN_MESSAGING = ["USER_DISPLAY"]
    assert ids() == ["ossn_messaging.E001", "ossn_messaging.W004"]


def test_files_are_inspected_in_the_worker(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSES": 0}
    assert ids() == ["ossn_messaging.W003"]


def test_a_system_without_inspection_processes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.checks.IS_SUPPORTED", False)
    assert ids() == ["ossn_messaging.E011"]
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSES": 0}
    assert ids() == ["ossn_messaging.W003"]


SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@pytest.mark.parametrize(
    ("middleware", "missing"),
    [
        ([SESSIONS, AUTHENTICATION], []),
        (["tests.site.OwnSessions", "tests.site.reads_post", AUTHENTICATION], []),
        ([AUTHENTICATION], ["SessionMiddleware"]),
        ([SESSIONS, "tests.nothing.here"], ["AuthenticationMiddleware"]),
        ([], ["SessionMiddleware", "AuthenticationMiddleware"]),
    ],
)
def test_a_session_api_without_sessions(settings: Settings, middleware: list[str], missing: list[str]) -> None:
    settings.MIDDLEWARE = middleware
    assert check_settings() == []
    settings.OSSN_MESSAGING = {"SESSION_API": True}
    errors = check_settings()
    assert [error.id for error in errors] == ["ossn_messaging.E017"] * len(missing)
    assert all(f" {name} is not in MIDDLEWARE" in error.msg for name, error in zip(missing, errors, strict=True))


def test_the_urls_are_nowhere(settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    assert ids() == ["ossn_messaging.W001"]


def test_the_libraries_for_pdfs_are_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.checks.find_spec", lambda name: None)
    (warning,) = check_settings()
    assert warning.id == "ossn_messaging.W002"
    assert warning.msg.startswith("PDFs are not opened when they are uploaded: pikepdf and pypdfium2")
    for extensions in (["pdf", "png"], ["png"]):
        settings.OSSN_MESSAGING = {"ATTACHMENT_EXTENSIONS": extensions}
        assert ids() == ["ossn_messaging.W002"] * ("pdf" in extensions)
    settings.OSSN_MESSAGING = {"ATTACHMENT_EXTENSIONS": "pdf"}
    assert ids() == ["ossn_messaging.E003"]
    settings.OSSN_MESSAGING = ["pdf"]
    assert ids() == ["ossn_messaging.E001"]


def database_ids() -> list[str]:
    found = run_checks(tags=[Tags.database], databases=["default"])
    return [str(error.id) for error in found if str(error.id).startswith("ossn_messaging.")]


def test_a_database_that_can_not_return_what_it_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_ids() == []
    monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
    assert database_ids() == ["ossn_messaging.E008"]


@pytest.mark.parametrize(
    ("vendor", "level", "expected"),
    [
        ("mysql", "read committed", []),
        ("mysql", "repeatable read", ["ossn_messaging.E010"]),
        ("mysql", None, ["ossn_messaging.E010"]),
        ("postgresql", 3, []),
        ("sqlite", None, []),
    ],
)
def test_an_isolation_level_at_which_counts_would_drift(
    monkeypatch: pytest.MonkeyPatch, vendor: str, level: object, expected: list[str]
) -> None:
    asked = SimpleNamespace(vendor=vendor, isolation_level=level, features=connection.features, cursor=Answers)
    monkeypatch.setattr("ossn_messaging.checks.connections", {"default": asked})
    assert [error.id for error in check_databases(databases=["default"])] == expected


class Answers:
    """A cursor of a MariaDB. ``test_database_checks.py`` asks a real one."""

    mode, connection, new_tables = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", "utf8mb4", "utf8mb4"
    tables: tuple[tuple[str, str], ...] = (("ossn_messaging_message", "utf8mb4"),)

    def __init__(self, **changes: Any) -> None:
        vars(self).update(changes)

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def execute(self, sql: str, params: object = None) -> None:
        pass

    def fetchone(self) -> tuple[str, str, str]:
        return self.mode, self.connection, self.new_tables

    def fetchall(self) -> tuple[tuple[str, str], ...]:
        return self.tables


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"mode": "STRICT_ALL_TABLES"}, []),
        ({"new_tables": "utf8mb3"}, []),
        ({"mode": ""}, ["ossn_messaging.E014"]),
        ({"connection": "utf8mb3"}, ["ossn_messaging.E013"]),
        ({"tables": (("ossn_messaging_message", "utf8mb3"),)}, ["ossn_messaging.E013"]),
        ({"tables": (), "new_tables": "latin1", "mode": ""}, ["ossn_messaging.E013", "ossn_messaging.E014"]),
    ],
)
def test_a_mariadb_that_changes_texts(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: list[str]
) -> None:
    asked = SimpleNamespace(
        vendor="mysql",
        isolation_level="read committed",
        features=connection.features,
        cursor=lambda: Answers(**changes),
    )
    monkeypatch.setattr("ossn_messaging.checks.connections", {"default": asked})
    assert [error.id for error in check_databases(databases=["default"])] == expected


class Elsewhere:
    """A router that puts models of these names into another database."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model._meta.label in self.names else None


@pytest.mark.parametrize(
    "names", [["ossn_messaging.Message", "ossn_messaging.APIKey"], ["ossn_messaging.APIKey_users"], ["auth.User"]]
)
def test_routers_that_put_users_and_messages_into_different_databases(settings: Settings, names: list[str]) -> None:
    settings.DATABASE_ROUTERS = [Elsewhere(*names)]
    (error,) = check_settings()
    assert error.id == "ossn_messaging.E015"
    assert "'elsewhere'" in error.msg or "into elsewhere" in error.msg
    assert names == ["auth.User"] or all(name in error.msg for name in names)


def test_two_names_of_one_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    database = settings.DATABASES["default"]
    settings.DATABASE_ROUTERS = [Elsewhere("ossn_messaging.Message")]
    monkeypatch.setitem(settings.DATABASES, "elsewhere", dict(database))
    assert check_settings() == []
    monkeypatch.setitem(settings.DATABASES, "elsewhere", {**database, "NAME": "another"})
    assert [error.id for error in check_settings()] == ["ossn_messaging.E015"]
