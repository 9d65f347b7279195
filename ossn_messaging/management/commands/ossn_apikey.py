import json
import sys
import textwrap
from argparse import SUPPRESS, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError, router, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ossn_messaging.management.durations import parse_duration
from ossn_messaging.management.key_descriptions import (
    TITLES,
    described,
    described_in_full,
    details,
    iso,
    line,
    users_text,
)
from ossn_messaging.management.tables import lines_of, printable
from ossn_messaging.models import APIKey
from ossn_messaging.models.api_keys import SCOPES, APIKeyQuerySet, all_scopes, checked_scopes

USAGE = 2
"""The exit status if the command line is wrong. If the command line is right but the action fails, it is 1."""
NO_KEY = 3
"""The exit status if there is no such key."""
EXITS = """\
exit status:
  0  it is done
  1  it could not be done; standard error has the reason
  2  the command line is wrong
  3  there is no such active key
"""
CHOICES = " or ".join(SCOPES)


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """A formatter that keeps the line breaks of an epilog and lists Django's own options last."""


class Command(BaseCommand):
    help = "Makes API keys, shows them, changes what they may do, replaces them and revokes them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = HelpFormatter
        parser.epilog = _epilog('create "the phone app" --expires 90d', "list --json", "rotate --help")
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        def add(name: str, act: Callable[..., None], does: str, *examples: str) -> CommandParser:
            added: CommandParser = actions.add_parser(
                name,
                help=does,
                description=textwrap.fill(f"{does[0].upper()}{does[1:]}."),
                epilog=_epilog(*examples),
                formatter_class=HelpFormatter,
            )
            added.add_argument("--json", action="store_true", help="write one JSON document to standard output")
            added.set_defaults(act=act)
            return added

        create = add(
            "create",
            self._create,
            "create a key and print only the key to standard output; it is shown once",
            'create "the phone app" --scope send --user ann --user 7 --expires 90d',
        )
        take = add(
            "import",
            self._import,
            "read an existing key from standard input, as one line",
            'import "the phone app" --scope send < key.txt',
        )
        for making in (create, take):
            making.add_argument("name", metavar="NAME", help="a name by which you recognize the key")
            making.add_argument(
                "--scope", dest="scopes", action="append", metavar="SCOPE", help=f"{CHOICES}; all of them by default"
            )
            _add_users(making)
            making.add_argument(
                "--expires", metavar="SPAN", help="how long it is valid, such as 12h or 90d; without limit by default"
            )
        take.add_argument("misplaced", nargs="*", help=SUPPRESS)

        listing = add("list", self._list, "list the active keys", "list --all --json")
        showing = add(
            "show",
            self._show,
            "show the active keys with a name, their users, and how many of the stored messages each key has sent",
            'show "the phone app"',
        )
        rotate = add(
            "rotate",
            self._rotate,
            "create a key with the scopes and users of the newest active key with a name, print only the key to "
            "standard output, and let the older keys with this name expire after the overlap",
            'rotate "the phone app" --overlap 7d',
        )
        scope = add(
            "scope",
            self._scope,
            "replace the scopes or the users of the active keys with a name immediately",
            'scope "the phone app" read',
            'scope "the phone app" send read --user ann',
            'scope "the phone app" --anyone',
        )
        revoke = add(
            "revoke",
            self._revoke,
            "revoke the active keys with a name immediately and permanently",
            'revoke "the phone app"',
            'revoke "the phone app" --id 3',
        )
        for given in (listing, showing):
            given.add_argument("--all", action="store_true", help="revoked and expired keys as well")
        for given in (showing, rotate, scope, revoke):
            given.add_argument("name", metavar="NAME", help="the name of the keys")
        rotate.add_argument(
            "--overlap", default="7d", metavar="SPAN", help="how long both keys work, such as 12h; 7d by default"
        )
        rotate.add_argument(
            "--expires",
            metavar="SPAN",
            help="how long the new key is valid; by default, it has the expiry of the old key",
        )
        scope.add_argument(
            "scopes", nargs="*", default=[], metavar="SCOPE", help=f"{CHOICES}; unchanged if none is given"
        )
        acting = scope.add_mutually_exclusive_group()
        _add_users(acting)
        acting.add_argument("--anyone", action="store_true", help="allow the keys to act as any user")
        for given in (scope, revoke):
            given.add_argument("--id", type=int, metavar="ID", help="only the key with this id")

    @sensitive_variables()
    def handle(self, *args: Any, act: Callable[..., None], **options: Any) -> None:
        """Run the action. An error report hides the variables of this method and of all functions that it calls."""
        try:
            act(**options)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The database failed: {error}") from error

    def _create(self, name: str, **options: Any) -> None:
        api_key, key = APIKey.objects.create_key(_new_name(name), **_rights(**options))
        self._print_key(api_key, key, **options)

    def _import(self, name: str, misplaced: list[str], **options: Any) -> None:
        if misplaced:
            raise _wrong("The key is read from standard input: the arguments of a command are seen by others.")
        name, rights = _new_name(name), _rights(**options)
        api_key = APIKey.objects.import_key(name, _read_key(), **rights)
        self._remark(f"The key of {printable(name)} is imported.")
        if options["json"]:
            self._write_json(described(api_key))

    def _list(self, **options: Any) -> None:
        keys = _keys() if options["all"] else _keys().active()
        found = [described(api_key) for api_key in keys.prefetch_related("users").order_by("pk")]
        if options["json"]:
            self._write_json(found)
        elif found:
            self._write_table([TITLES, *map(line, found)])
        else:
            self._remark("There are no keys." if options["all"] else "There are no active keys.")

    def _show(self, name: str, **options: Any) -> None:
        found = [described_in_full(api_key) for api_key in _named(name, inactive=options["all"])]
        if options["json"]:
            self._write_json(found)
            return
        for fields in found:
            if fields is not found[0]:
                self.stdout.write()
            self._write_table(details(fields))

    def _rotate(self, name: str, overlap: str, **options: Any) -> None:
        span, expires_at = _span("--overlap", overlap), _expiry(options["expires"])
        with transaction.atomic(using=_writer()):
            keys = _named(name, lock=True)
            expire_at = timezone.now() + span
            api_key, key = max(keys, key=lambda one: (one.created_at, one.pk)).rotate(span)
            if expires_at:
                api_key.expires_at = expires_at
                api_key.save(update_fields=["expires_at"])
            _keys().filter(pk__in=[old.pk for old in keys]).expire_by(expire_at)
        for old in keys:
            old.refresh_from_db(using=_writer(), fields=["expires_at"])
            self._remark(f"The key {old.pk} expires at {iso(old.expires_at)}.")
        expiry = f"expires at {iso(api_key.expires_at)}" if api_key.expires_at else "does not expire"
        self._remark(f"The key {api_key.pk} is new and {expiry}.")
        self._print_key(api_key, key, **options)

    def _scope(self, name: str, scopes: list[str], users: list[str] | None, **options: Any) -> None:
        if not (scopes or users or options["anyone"]):
            raise _wrong("Neither scopes nor users are given.")
        chosen, chosen_users = _scopes(scopes), _users(users)
        with transaction.atomic(using=_writer()):
            keys = _named(name, options["id"])
            for api_key in keys:
                if chosen:
                    api_key.scopes = chosen
                    api_key.save(update_fields=["scopes"])
                if chosen_users or options["anyone"]:
                    api_key.restrict_to(chosen_users)
        found = [described(api_key) for api_key in keys]
        for fields in found:
            scopes_now = " and ".join(fields["scopes"]) or "nothing"
            self._remark(f"Key {fields['id']}: {scopes_now}, as {users_text(fields)}.")
        if options["json"]:
            self._write_json(found)

    def _revoke(self, name: str, **options: Any) -> None:
        with transaction.atomic(using=_writer()):
            keys = _named(name, options["id"])
            for api_key in keys:
                api_key.revoke()
        for api_key in keys:
            self._remark(f"The key {api_key.pk} is revoked.")
        if options["json"]:
            self._write_json([described(api_key) for api_key in keys])

    def _print_key(self, api_key: APIKey, key: str, **options: Any) -> None:
        """Print a key. It is shown only this once."""
        if options["json"]:
            self._write_json({**described(api_key), "key": key})
        else:
            self.stdout.write(key)

    def _write_json(self, document: object) -> None:
        self.stdout.write(json.dumps(document, indent=2))

    def _write_table(self, rows: list[tuple[str, ...]]) -> None:
        for row in lines_of(rows):
            self.stdout.write(row)

    def _remark(self, text: str) -> None:
        self.stderr.write(text, str)  # without the colour of errors


def _epilog(*examples: str) -> str:
    return "\n".join(["examples:", *(f"  manage.py ossn_apikey {example}" for example in examples), "", EXITS])


def _add_users(parser: Any) -> None:
    parser.add_argument(
        "--user",
        dest="users",
        action="append",
        metavar="USER",
        help="a user that the keys may act as, by username or id (a number is an id); repeat it for more users",
    )


def _wrong(reason: str) -> CommandError:
    return CommandError(reason, returncode=USAGE)


def _writer() -> str:
    return router.db_for_write(APIKey)


def _keys() -> APIKeyQuerySet:
    """Return all keys from the database for writes."""
    keys: APIKeyQuerySet = APIKey.objects.using(_writer())
    return keys


def _named(name: str, key_id: int | None = None, *, inactive: bool = False, lock: bool = False) -> list[APIKey]:
    """Return the active keys with this name, ordered by id.

    If ``inactive`` is true, revoked and expired keys are included. If ``lock`` is true, their rows are locked until the
    transaction ends. The names are compared again in Python, because MariaDB treats some different names as equal, for
    example those that differ only in case.

    Raises ``CommandError`` if there are no such keys.
    """
    keys = _keys() if inactive else _keys().active()
    if lock:
        keys = keys.select_for_update()
    found = [key for key in keys.filter(name=name).order_by("pk") if key.name == name and key_id in (None, key.pk)]
    if not found:
        what = "key" if inactive else "active key"
        numbered = "" if key_id is None else f" and the id {key_id}"
        raise CommandError(f"There is no {what} with the name {name!r}{numbered}.", returncode=NO_KEY)
    return found


def _new_name(given: str) -> str:
    """Return the name for a new key, without surrounding white space.

    Raises ``CommandError`` unless the name has 1 to 100 printable characters.
    """
    name = given.strip()
    try:
        APIKey._meta.get_field("name").clean(name, None)
    except ValidationError as error:
        raise _wrong(f"NAME: {' '.join(error.messages)}") from None
    if not name.isprintable():
        raise _wrong("NAME: A name may contain only printable characters.")
    return name


def _rights(scopes: list[str] | None, users: list[str] | None, expires: str | None, **options: Any) -> dict[str, Any]:
    return {"scopes": _scopes(scopes) or all_scopes(), "users": _users(users), "expires_at": _expiry(expires)}


def _scopes(given: Iterable[str] | None) -> list[str]:
    try:
        return checked_scopes(given or ())
    except ValueError as error:
        raise _wrong(f"SCOPE: {error}") from None


def _users(given: Iterable[object] | None) -> list[AbstractBaseUser]:
    return [_user(str(one)) for one in given or ()]


def _user(given: str) -> AbstractBaseUser:
    """Return the active user with this id, if it is a number, or with this username.

    Raises ``CommandError`` if there is no such user.
    """
    model = get_user_model()
    field, what = ("pk", "id") if given.isascii() and given.isdigit() else (model.USERNAME_FIELD, "username")
    user: AbstractBaseUser | None = model._default_manager.filter(**{field: given}).first()
    if user is None or not user.is_active:
        raise CommandError(f"No active user has the {what} {given!r}.")
    return user


def _span(option: str, given: str) -> timedelta:
    try:
        return parse_duration(given)
    except ValueError as error:
        raise _wrong(f"{option}: {error}") from None


def _expiry(given: str | None) -> datetime | None:
    if given is None:
        return None
    span = _span("--expires", given)
    if not span:
        raise _wrong("--expires: A key is valid for at least a second.")
    return timezone.now() + span


def _read_key() -> str:
    """Return the text on standard input.

    Raises ``CommandError`` if it is not valid text.
    """
    with suppress(UnicodeError):  # this exception would contain the key
        key = sys.stdin.read().strip()
        key.encode()  # in the locale "C", Python decodes invalid bytes without an error
        return key
    raise CommandError("The standard input is not text.")
