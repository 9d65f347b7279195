"""What the system checks say of a real MariaDB that can't store each text."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, connection

from ossn_messaging.models import Message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="the tests do not run on MariaDB"),
]

EMOJI = "\N{GRINNING FACE}"


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def changed(statement: str, back: str) -> Iterator[None]:
    execute(statement)
    try:
        yield
    finally:
        execute(back)


@contextmanager
def in_utf8mb3(table: str) -> Iterator[None]:
    convert = f"ALTER TABLE {table} CONVERT TO CHARACTER SET"
    with changed(f"{convert} utf8mb3", f"{convert} utf8mb4"):
        yield


def found() -> list[tuple[str, str]]:
    errors = run_checks(tags=[Tags.database], databases=["default"])
    return [(str(error.id), error.msg) for error in errors if str(error.id).startswith("ossn_messaging.")]


def stored(sender: User, recipient: User) -> str:
    """Send an emoji, and return what the database has of it."""
    message = Message.objects.send(sender=sender, recipient=recipient, text=EMOJI)
    return str(Message.objects.values_list("text", flat=True).get(pk=message.pk))


def test_a_database_that_is_set_up_well(sender: User, recipient: User) -> None:
    assert found() == []
    assert stored(sender, recipient) == EMOJI


def test_a_table_in_utf8mb3(sender: User, recipient: User) -> None:
    with in_utf8mb3("ossn_messaging_message"):
        with pytest.raises(DatabaseError):
            stored(sender, recipient)
        ((number, text),) = found()
        assert number == "ossn_messaging.E013"
        assert text.endswith(": ossn_messaging_message (utf8mb3).")
        with pytest.raises(SystemCheckError, match="E013"):
            call_command("check", databases=["default"], stdout=StringIO())


def test_a_connection_in_utf8mb3() -> None:
    with changed("SET NAMES utf8mb3", "SET NAMES utf8mb4"):
        ((number, text),) = found()
    assert (number, text.rpartition(": ")[2]) == ("ossn_messaging.E013", "the connection (utf8mb3).")


def test_without_strict_mode(sender: User, recipient: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode")
        mode = cursor.fetchone()[0]
    with changed("SET SESSION sql_mode = ''", f"SET SESSION sql_mode = '{mode}'"):
        assert [number for number, _text in found()] == ["ossn_messaging.E014"]
        with in_utf8mb3("ossn_messaging_message"):
            assert stored(sender, recipient) != EMOJI
            assert [number for number, _text in found()] == ["ossn_messaging.E013", "ossn_messaging.E014"]
    assert found() == []


def test_before_the_tables_are_there() -> None:
    database = connection.settings_dict["NAME"]
    with (
        changed(f"CREATE DATABASE {database}_narrow CHARACTER SET utf8mb3", f"DROP DATABASE {database}_narrow"),
        changed(f"USE {database}_narrow", f"USE {database}"),
    ):
        ((number, text),) = found()
    assert (number, text.rpartition(": ")[2]) == ("ossn_messaging.E013", "new tables (utf8mb3).")
