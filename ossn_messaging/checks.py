"""System checks that report wrong settings when the site starts, and not at the first request."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import InvalidStorageError, storages
from django.db import connections, models, router
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from ossn_messaging.attachments.inspection import IS_SUPPORTED
from ossn_messaging.conf import CallableSetting, CallablesSetting, Settings, configured
from ossn_messaging.storage import ALIAS, LocalAttachmentStorage, attachment_storage

PDF_LIBRARIES = ("pikepdf", "pypdfium2")
STRICT_MODES = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"}
CHARACTER_SETS = """
SELECT DISTINCT table_name, character_set_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name IN %s AND character_set_name IS NOT NULL ORDER BY table_name
"""


def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Return all errors and warnings about the settings of the app."""
    return [
        *_check_dict(),
        *_check_inspection(),
        *_check_libraries(),
        *_check_storage(),
        *_check_user_model(),
        *_check_routers(),
        *_check_usernames(),
        *_check_urls(),
        *_check_sessions(),
    ]


def check_databases(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Return an error for each of ``databases`` that lacks a feature or setting that the app needs."""
    errors: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if not connection.features.can_return_columns_from_insert:
            errors.append(
                _error(
                    "E008",
                    f"The database {alias!r} does not support INSERT ... RETURNING.",
                    "Use PostgreSQL, MariaDB 10.5 or later, or SQLite 3.35 or later.",
                )
            )
        if connection.vendor == "mysql":
            errors += _check_mariadb(alias)
    return errors


def _check_mariadb(alias: str) -> list[CheckMessage]:
    connection = connections[alias]
    errors: list[CheckMessage] = []
    isolation_level = getattr(connection, "isolation_level", None)
    if isolation_level != "read committed":
        errors.append(
            _error(
                "E010",
                f"The database {alias!r} uses the isolation level {isolation_level!r}, so counters would become wrong.",
                'Remove "isolation_level" from its OPTIONS: Django\'s default is "read committed".',
            )
        )
    tables = [model._meta.db_table for model in apps.get_app_config("ossn_messaging").get_models()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@character_set_connection, @@character_set_database")
        mode, of_connection, of_new_tables = cursor.fetchone()
        cursor.execute(CHARACTER_SETS, [tables])
        of_tables = list(cursor.fetchall()) or [("new tables", of_new_tables)]
    used = [("the connection", of_connection), *of_tables]
    narrow = [f"{what} ({character_set})" for what, character_set in used if character_set != "utf8mb4"]
    if narrow:
        errors.append(
            _error(
                "E013",
                f"The database {alias!r} can't store every character, for example no emoji: {', '.join(narrow)}.",
                "ALTER DATABASE ... CHARACTER SET utf8mb4, and ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4.",
            )
        )
    if not STRICT_MODES & set(mode.split(",")):
        errors.append(
            _error(
                "E014",
                f"The database {alias!r} is not in strict mode, so it changes texts that it can't store.",
                "Add STRICT_TRANS_TABLES to its sql_mode.",
            )
        )
    return errors


def _check_dict() -> list[CheckMessage]:
    given: object = configured()
    if not isinstance(given, dict):
        return [_error("E001", "OSSN_MESSAGING is not a dict.", "Write OSSN_MESSAGING = {...}.")]
    known = Settings.all()
    errors: list[CheckMessage] = [
        _error("E002", f"OSSN_MESSAGING has an unknown key {name!r}.", f"The keys are {', '.join(known)}.")
        for name in given
        if name not in known
    ]
    for name, setting in known.items():
        value = given.get(name, setting.default)
        if not setting.accepts(value):
            errors.append(_error("E003", f"OSSN_MESSAGING[{name!r}] is {value!r}.", f"It must be {setting.expected}."))
        elif isinstance(setting, CallableSetting | CallablesSetting):
            for path in setting.paths(value):
                errors += _check_path(name, path)
    return errors


def _check_path(name: str, path: str) -> list[CheckMessage]:
    try:
        is_callable = callable(import_string(path))
    except Exception as error:  # the import of the site's module may raise any exception
        return [_error("E004", f"OSSN_MESSAGING[{name!r}] can't be imported: {error}", f"It is {path!r}.")]
    if is_callable:
        return []
    return [_error("E004", f"OSSN_MESSAGING[{name!r}] is not callable.", f"It is {path!r}.")]


def _check_inspection() -> list[CheckMessage]:
    if _given("INSPECTION_PROCESSES") == 0:
        return [
            CheckWarning(
                "Attachments are inspected in the web worker, where a hostile file can take all memory and time.",
                hint="Set OSSN_MESSAGING['INSPECTION_PROCESSES'] to 1 or more, if this is a POSIX system.",
                id="ossn_messaging.W003",
            )
        ]
    if not IS_SUPPORTED:
        return [
            _error(
                "E011",
                "This system cannot inspect attachments in separate processes.",
                "Set OSSN_MESSAGING['INSPECTION_PROCESSES'] to 0 to inspect them in the web worker.",
            )
        ]
    return []


def _check_libraries() -> list[CheckMessage]:
    """Return a warning if PDFs are allowed and their libraries are missing.

    This does not import the libraries, because a web worker does not need them.
    """
    extensions = _given("ATTACHMENT_EXTENSIONS", ("pdf",))
    missing = [name for name in PDF_LIBRARIES if find_spec(name) is None]
    if not (missing and Settings.all()["ATTACHMENT_EXTENSIONS"].accepts(extensions) and "pdf" in extensions):
        return []
    return [
        CheckWarning(
            f"PDFs are not opened when they are uploaded: {' and '.join(missing)} can't be imported.",
            hint='Install ossn-messaging[documents], or leave "pdf" out of OSSN_MESSAGING["ATTACHMENT_EXTENSIONS"].',
            id="ossn_messaging.W002",
        )
    ]


def _check_storage() -> list[CheckMessage]:
    hint = f'Name a storage in STORAGES["{ALIAS}"], for example ossn_messaging.storage.LocalAttachmentStorage.'
    try:
        storage = attachment_storage()
        folder = Path(storage.base_location).resolve() if isinstance(storage, LocalAttachmentStorage) else None
    except (ImproperlyConfigured, InvalidStorageError, ImportError, TypeError) as error:
        return [_error("E005", f"There is no storage for attachments: {error}", hint)]
    if _given("X_ACCEL_REDIRECT") and folder is None:
        return [
            _error(
                "E009",
                "OSSN_MESSAGING['X_ACCEL_REDIRECT'] is set, and attachments are not on the local disk.",
                "nginx can serve only the files of a LocalAttachmentStorage. For other storages, remove the setting.",
            )
        ]
    is_s3 = hasattr(storage, "is_inside")
    if _given("ATTACHMENT_PREFIX") and folder is None and not is_s3:
        return [
            _error(
                "E016",
                "OSSN_MESSAGING['ATTACHMENT_PREFIX'] is set, and the storage of attachments is not one of the app's.",
                "Use LocalAttachmentStorage or S3AttachmentStorage, or let your own storage add the prefix.",
            )
        ]
    return _check_bucket(storage) if is_s3 else _check_folder(folder)


def _check_folder(folder: Path | None) -> list[CheckMessage]:
    """Return an error if the folder of the attachments is in a folder that a web server may publish."""
    return [
        _error(
            "E006",
            f"Attachments are stored in {folder}, which is in {name}: anyone who guesses their names can read them.",
            "Store them in a folder that no URL serves.",
        )
        for name in ("MEDIA_ROOT", "STATIC_ROOT")
        if folder is not None
        and (public := getattr(settings, name, None))
        and folder.is_relative_to(Path(os.fspath(public)).resolve())
    ]


def _check_bucket(storage: Any) -> list[CheckMessage]:
    """Return an error or a warning for each other storage of the site that contains the attachments on S3.

    Without options, both storages take the site's ``AWS_...`` settings.
    """
    from ossn_messaging.storage.s3 import is_public

    messages: list[CheckMessage] = []
    for alias in settings.STORAGES:
        try:
            other = storages[alias]
        except (ImproperlyConfigured, InvalidStorageError, TypeError):
            continue  # Django reports this when the site uses the storage
        if alias == ALIAS or not storage.is_inside(other):
            continue
        place = f'in the bucket {storage.bucket_name!r}, where STORAGES["{alias}"] stores its files'
        hint = f'Give STORAGES["{ALIAS}"] a "bucket_name" of its own in its OPTIONS.'
        if is_public(other):
            messages.append(_error("E012", f"Attachments are {place} and makes them public.", hint))
        else:
            messages.append(CheckWarning(f"Attachments are {place}, too.", hint=hint, id="ossn_messaging.W005"))
    return messages


def _check_user_model() -> list[CheckMessage]:
    key = get_user_model()._meta.pk
    while isinstance(key, models.ForeignKey):
        key = key.target_field
    if isinstance(key, models.IntegerField):
        return []
    return [
        _error(
            "E007",
            "The primary key of the user model is not an integer, but the protocol identifies users by integers.",
            "Use a user model whose primary key is an AutoField or another integer field.",
        )
    ]


def _check_routers() -> list[CheckMessage]:
    """Return an error if the routers put tables of the app into another database than the users' table.

    Two aliases of one database are no error.
    """
    users = router.db_for_write(get_user_model())
    elsewhere = {
        model._meta.label: alias
        for model in apps.get_app_config("ossn_messaging").get_models(include_auto_created=True)
        if (alias := router.db_for_write(model)) != users and _place(alias) != _place(users)
    }
    if not elsewhere:
        return []
    return [
        _error(
            "E015",
            f"DATABASE_ROUTERS put the users into {users!r}, and {', '.join(elsewhere)} into"
            f" {', '.join(sorted(set(elsewhere.values())))}.",
            "Foreign keys can't point to another database: let db_for_write() return one database for all of them.",
        )
    ]


def _place(alias: str) -> tuple[object, ...]:
    database = settings.DATABASES.get(alias, {})
    return tuple(database.get(name, alias if name == "NAME" else "") for name in ("ENGINE", "HOST", "PORT", "NAME"))


def _check_usernames() -> list[CheckMessage]:
    """Return a warning if users have no usernames and the site does not say how to show them."""
    if getattr(get_user_model(), "username", None) is not None or _given("USER_DISPLAY"):
        return []
    return [
        CheckWarning(
            "The user model has no usernames, so the API shows the ids of users in place of their usernames.",
            hint="Set OSSN_MESSAGING['USER_DISPLAY'] to the path of a function that returns a user's public names.",
            id="ossn_messaging.W004",
        )
    ]


def _check_urls() -> list[CheckMessage]:
    try:
        reverse("ossn_messaging:message-send")
    except NoReverseMatch:
        return [
            CheckWarning(
                "The URLs of ossn_messaging are not in the URLconf.",
                hint='Add path("", include("ossn_messaging.urls")) to the site\'s urlpatterns.',
                id="ossn_messaging.W001",
            )
        ]
    return []


def _check_sessions() -> list[CheckMessage]:
    """Return an error for each middleware that ``SESSION_API`` needs and the site lacks."""
    if _given("SESSION_API") is not True:
        return []
    installed = [_import_or_none(path) for path in settings.MIDDLEWARE]
    return [
        _error(
            "E017",
            f"OSSN_MESSAGING['SESSION_API'] is True, and {needed.__name__} is not in MIDDLEWARE.",
            f'Add "{needed.__module__}.{needed.__name__}" to MIDDLEWARE, or remove the setting.',
        )
        for needed in (SessionMiddleware, AuthenticationMiddleware)
        if not any(isinstance(found, type) and issubclass(found, needed) for found in installed)
    ]


def _import_or_none(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django reports this when it loads the middleware


def _given(name: str, default: object = None) -> Any:
    """Return the value of a key of ``OSSN_MESSAGING``, which may not be a dict: ``_check_dict()`` reports that."""
    given: object = configured()
    return given.get(name, default) if isinstance(given, dict) else None


def _error(number: str, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"ossn_messaging.{number}")
