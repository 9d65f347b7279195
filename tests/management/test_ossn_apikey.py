"""``ossn_apikey``, as a shell and its scripts see it."""

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, load_command_class
from django.db import DatabaseError
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.management.durations import LONGEST, parse_duration
from ossn_messaging.models import APIKey, Message
from tests.site import Behind, broken
from tests.support.api import error_report
from tests.support.readme import pages

pytestmark = pytest.mark.django_db

KEY = "c0e15d54735a596d4e16bf1aaa999758"
ACTIONS = ["create", "import", "list", "show", "rotate", "scope", "revoke"]
DAY = timedelta(days=1)


class Done(NamedTuple):
    """What a run of the command ended with."""

    status: int | str | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command as ``manage.py`` does, within the test's transaction."""
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)

    def run(*arguments: object, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status: int | str | None = 0
        try:
            argv = ["manage.py", "ossn_apikey", *map(str, arguments)]
            load_command_class("ossn_messaging", "ossn_apikey").run_from_argv(argv)
        except SystemExit as end:
            status = end.code
        done = Done(status, *capsys.readouterr())
        for api_key in APIKey.objects.using("default"):
            assert api_key.digest not in done.out + done.err
        return done

    return run


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def ben(db: None) -> User:
    return User.objects.create_user("ben")


def make(name: str = "app", age: timedelta = timedelta(), users: tuple[User, ...] = (), **changes: Any) -> APIKey:
    """Return a key that was made this long ago."""
    api_key: APIKey = APIKey.objects.create_key(name, users=users)[0]
    APIKey.objects.filter(pk=api_key.pk).update(**{"created_at": timezone.now() - age, **changes})
    api_key.refresh_from_db()
    return api_key


def about(time: datetime | None, span: timedelta) -> bool:
    """Whether ``time`` is this long from now, give or take a minute."""
    return time is not None and abs(time - timezone.now() - span) < timedelta(minutes=1)


def found(key: str) -> APIKey:
    api_key: APIKey | None = APIKey.objects.find(key.removesuffix("\n"))
    assert api_key is not None
    return api_key


# Making keys


def test_create(run: Run) -> None:
    done = run("create", "integrator")
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r"ossn_\S+\n", done.out), "the key alone"
    api_key = found(done.out)
    assert (api_key.name, api_key.scopes, api_key.is_restricted) == ("integrator", ["send", "read"], False)
    assert api_key.expires_at is None


def test_create_with_limits(run: Run, ann: User, ben: User) -> None:
    given = ["--scope", "read", "--user", "ann", "--user", ben.pk, "--user", "ben", "--expires", "90d"]
    api_key = found(run("create", "integrator", *given).out)
    assert api_key.scopes == ["read"]
    assert api_key.may_act_as(ann.pk)
    assert set(api_key.users.all()) == {ann, ben}
    assert about(api_key.expires_at, 90 * DAY)


def test_create_in_json(run: Run, ann: User) -> None:
    done = run("create", "integrator", "--json", "--user", "ann", "--expires", "12h")
    told = done.json
    api_key = found(told.pop("key"))
    assert api_key.expires_at is not None
    assert done.err == ""
    assert told == {
        "id": api_key.pk,
        "name": "integrator",
        "active": True,
        "scopes": ["send", "read"],
        "anyone": False,
        "users": [{"id": ann.pk, "username": "ann"}],
        "created_at": f"{api_key.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{api_key.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "revoked_at": None,
        "last_used_at": None,
    }


def test_from_python(ann: User, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("ossn_apikey", "create", "integrator")
    assert found(capsys.readouterr().out).scopes == ["send", "read"]
    call_command("ossn_apikey", "create", "integrator", scopes=["send"], users=[ann.pk], expires="1h", json=True)
    api_key = found(json.loads(capsys.readouterr().out)["key"])
    assert (api_key.scopes, list(api_key.users.all())) == (["send"], [ann])
    with pytest.raises(CommandError, match="no active key") as caught:
        call_command("ossn_apikey", "revoke", "nope")
    assert caught.value.returncode == 3


def test_import(run: Run) -> None:
    done = run("import", "from OSSN", stdin=f"{KEY}\n")
    assert done == (0, "", "The key of from OSSN is imported.\n")
    assert found(KEY).name == "from OSSN"
    again = run("import", "again", stdin=KEY)
    assert again == (1, "", "CommandError: This key already exists.\n")


def test_import_with_limits(run: Run, ann: User) -> None:
    done = run("import", "from OSSN", "--scope", "send", "--user", "ann", "--expires", "2w", "--json", stdin=KEY)
    told = done.json
    assert "key" not in told
    assert (told["name"], told["scopes"], told["anyone"]) == ("from OSSN", ["send"], False)
    api_key = found(KEY)
    assert told["id"] == api_key.pk
    assert api_key.may_act_as(ann.pk)
    assert about(api_key.expires_at, 14 * DAY)


@pytest.mark.parametrize("given", ["", "\n", "two words", "k" * 513])
def test_import_of_what_is_no_key(run: Run, given: str) -> None:
    done = run("import", "from OSSN", stdin=given)
    assert done == (1, "", "CommandError: A key has 1 to 512 characters and no white space.\n")
    assert not APIKey.objects.exists()


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_import_of_what_is_no_text(monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"secret\xff"), "utf-8", errors))
    with pytest.raises(CommandError, match="is not text") as caught:
        call_command("ossn_apikey", "import", "from OSSN")
    assert caught.value.__context__ is None, "which would hold what was read"


def test_import_from_the_command_line(run: Run) -> None:
    done = run("import", "from OSSN", KEY)
    assert (done.status, done.out) == (2, "")
    assert "is read from standard input" in done.err
    assert KEY not in done.err


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required"),
        (["--scope", "write"], "The scopes are send, read"),
        (["--expires", "7"], "'7' is not a duration"),
        (["--expires", "0d"], "for at least a second"),
        (["--expires", "99999999999w"], "is not a duration"),
    ],
)
@pytest.mark.parametrize("action", ["create", "import"])
def test_wrong_usage(run: Run, action: str, arguments: list[str], reason: str) -> None:
    done = run(action, *(["x", *arguments] if arguments else []), stdin=KEY)
    assert (done.status, done.out) == (2, "")
    assert reason in done.err
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "cannot be blank"),
        (" ", "cannot be blank"),
        ("x" * 101, "at most 100 characters"),
        ("a\x1b[2Jb", "printable"),
        ("\udcff", "printable"),
    ],
)
@pytest.mark.parametrize("action", ["create", "import"])
def test_names_that_no_key_can_have(run: Run, action: str, name: str, reason: str) -> None:
    done = run(action, name, stdin=KEY)
    assert (done.status, done.out) == (2, "")
    assert reason in done.err
    assert not APIKey.objects.exists()


def test_the_longest_name(run: Run) -> None:
    assert found(run("create", f" {'é' * 100}\n").out).name == "é" * 100


@pytest.mark.parametrize("who", ["nobody", "idle", "0", "²", "9" * 19, "9" * 30, "\udcff", ""])
def test_users_that_no_key_can_have(run: Run, ann: User, who: str) -> None:
    User.objects.create_user("idle", is_active=False)
    api_key = make()
    for arguments in (["create", "x"], ["import", "x"], ["scope", "app"]):
        done = run(*arguments, "--user", "ann", "--user", who, stdin=KEY)
        assert (done.status, done.out) == (1, "")
        assert "No active user has the" in done.err or who == "\udcff"
    assert list(APIKey.objects.all()) == [api_key]
    assert api_key.may_act_as(0), "it was left as it was"


def test_a_number_is_an_id(run: Run, ann: User) -> None:
    User.objects.create_user(str(ann.pk))
    assert list(found(run("create", "x", "--user", ann.pk).out).users.all()) == [ann]


@pytest.mark.parametrize("action", ["show", "rotate", "scope", "revoke"])
def test_no_such_key(run: Run, action: str) -> None:
    make("revoked").revoke()
    make("expired", expires_at=timezone.now())
    make("Other case")
    more = ["read"] if action == "scope" else []
    for name in ("nope", "revoked", "expired", "other case", "Other case ", ""):
        assert run(action, name, *more) == (3, "", f"CommandError: There is no active key with the name {name!r}.\n")


@pytest.mark.parametrize("action", ["scope", "revoke"])
def test_no_such_key_with_this_id(run: Run, action: str) -> None:
    api_key, other = make(), make("other")
    more = ["read"] if action == "scope" else []
    for number in (0, other.pk, 10**30):
        done = run(action, "app", *more, "--id", number)
        assert done.status == 3
        assert done.err.endswith(f"'app' and the id {number}.\n")
    assert run(action, "app", *more, "--id", "one").status == 2
    api_key.refresh_from_db()
    assert api_key.is_active
    assert api_key.scopes == ["send", "read"]


def test_a_name_that_no_database_takes(run: Run) -> None:
    done = run("show", "\udcff")
    assert (done.status, done.out) == (1, "")
    assert "surrogates not allowed" in done.err


def test_a_database_that_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr("ossn_messaging.models.api_keys.APIKeyQuerySet.active", broken)
    assert run("list") == (1, "", "CommandError: The database failed: no such table\n")


def test_no_copy_of_the_database_is_asked(run: Run, settings: Settings) -> None:
    """There is no such database here, so whatever asks it fails."""
    settings.DATABASE_ROUTERS = [Behind()]
    run("create", "app")
    run("import", "app", stdin=KEY)
    assert len(run("list", "--json").json) == 2
    told = run("rotate", "app", "--overlap", "1h", "--expires", "1d", "--json")
    assert [line.partition(" at ")[2][:2] for line in told.err.splitlines()] == ["20"] * 3, told.err
    assert [fields["scopes"] for fields in run("scope", "app", "read", "--json").json] == [["read"]] * 3
    assert [fields["active"] for fields in run("revoke", "app", "--json").json] == [False] * 3


@pytest.mark.parametrize("action", ["create", "import", "rotate"])
@pytest.mark.parametrize("place", ["models.APIKey.restrict_to", "management.commands.ossn_apikey.described"])
def test_an_error_report_has_no_key(monkeypatch: pytest.MonkeyPatch, action: str, place: str) -> None:
    """Whatever fails while a key is in memory."""
    make()
    secret = "-".join(["never", "to", "be", "seen"])  # a report shows lines of this source
    monkeypatch.setattr("ossn_messaging.models.api_keys.secrets.token_urlsafe", lambda size: secret)
    monkeypatch.setattr("sys.stdin", io.StringIO(secret))
    monkeypatch.setattr(f"ossn_messaging.{place}", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        call_command("ossn_apikey", action, "app", "--json")
    report = error_report(caught.value)
    assert f"_{action}" in report
    assert secret not in report


# Showing keys


def test_list(run: Run, ann: User, ben: User) -> None:
    time = datetime(2026, 1, 31, 12, 30, 15, 999_999, tzinfo=UTC)
    one = make("one", created_at=time, last_used_at=time + DAY)
    two = make("two", users=(ann, ben), created_at=time, scopes=["send"], expires_at=time + 36_000 * DAY)
    make("three").revoke()
    done = run("list")
    assert (done.status, done.err) == (0, "")
    titles, *lines = [re.split(r" {2,}", line) for line in done.out.splitlines()]
    made, used, expires = "2026-01-31T12:30:15Z", "2026-02-01T12:30:15Z", "2124-08-25T12:30:15Z"
    assert titles == ["id", "name", "scopes", "users", "created", "expires", "revoked", "last used"]
    assert lines == [
        [str(one.pk), "one", "send, read", "anyone", made, "never", "never", used],
        [str(two.pk), "two", "send", "2", made, expires, "never", "never"],
    ]
    told = run("list", "--json").json
    assert [fields["id"] for fields in told] == [one.pk, two.pk]
    assert [fields["anyone"] for fields in told] == [True, False]
    assert [user["username"] for user in told[1]["users"]] == ["ann", "ben"]
    assert told[0]["last_used_at"] == used


def test_list_all(run: Run) -> None:
    active, revoked, expired = make(), make(), make(expires_at=timezone.now() - DAY)
    revoked.revoke()
    told = run("list", "--all", "--json").json
    assert [(fields["id"], fields["active"]) for fields in told] == [
        (active.pk, True),
        (revoked.pk, False),
        (expired.pk, False),
    ]
    assert told[1]["revoked_at"] == f"{revoked.revoked_at:%Y-%m-%dT%H:%M:%SZ}"
    assert len(run("list", "--all").out.splitlines()) == 4
    assert len(run("list").out.splitlines()) == 2


def test_list_of_nothing(run: Run) -> None:
    assert run("list") == (0, "", "There are no active keys.\n")
    assert run("list", "--all") == (0, "", "There are no keys.\n")
    assert run("list", "--json").json == []


def test_list_asks_the_same_of_the_database_for_many(run: Run, ann: User, django_assert_num_queries: Any) -> None:
    for number in range(5):
        make(str(number), users=(ann,))
    with django_assert_num_queries(3):  # one of them by this test's own look at the digests
        run("list")


@pytest.mark.parametrize("arguments", [["list"], ["show", "\x1b[2J"], ["scope", "\x1b[2J", "read"]])
def test_a_name_can_do_nothing_to_a_terminal(run: Run, arguments: list[str]) -> None:
    make("\x1b[2J", users=(User.objects.create_user("\x1b[3J"),))
    done = run(*arguments)
    assert done.status == 0
    assert "\x1b" not in done.out + done.err
    assert r"'\x1b[" in done.out + done.err


def test_show(run: Run, ann: User, ben: User) -> None:
    one, two, _other = make(users=(ann, ben)), make(), make("other")
    for sender, recipient, api_key in ((ann, ben, one), (ann, ben, one), (ben, ann, two), (ann, ben, None)):
        Message.objects.send(sender=sender, recipient=recipient, text="Hello", api_key=api_key)
    done = run("show", "app")
    assert (done.status, done.err) == (0, "")
    blocks = [
        dict(re.split(r" {2,}", line, maxsplit=1) for line in block.splitlines()) for block in done.out.split("\n\n")
    ]
    assert [block["id"] for block in blocks] == [str(one.pk), str(two.pk)]
    assert [block["messages"] for block in blocks] == ["2", "1"]
    assert [block["users"] for block in blocks] == ["2", "anyone"]
    assert blocks[0][f"user {ann.pk}"] == "ann, messages: 2"
    assert blocks[0][f"user {ben.pk}"] == "ben, messages: 0"
    assert blocks[0]["last used"] == "never"
    told = run("show", "app", "--json").json
    assert [fields["messages"] for fields in told] == [2, 1]
    assert told[0]["users"] == [
        {"id": ann.pk, "username": "ann", "messages": 2},
        {"id": ben.pk, "username": "ben", "messages": 0},
    ]


def test_show_revoked_keys_too(run: Run) -> None:
    active, revoked = make(), make()
    revoked.revoke()
    assert [fields["id"] for fields in run("show", "app", "--json").json] == [active.pk]
    assert [fields["id"] for fields in run("show", "app", "--all", "--json").json] == [active.pk, revoked.pk]
    assert run("show", "nope", "--all") == (3, "", "CommandError: There is no key with the name 'nope'.\n")


def test_times_of_a_site_without_time_zones(run: Run, settings: Settings) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    told = run("create", "x", "--json", "--expires", "1h").json
    created_at, expires_at = (datetime.fromisoformat(told[name]) for name in ("created_at", "expires_at"))
    assert abs(created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert timedelta(minutes=59) < expires_at - created_at < timedelta(minutes=61)


# Replacing keys


def test_rotate(run: Run, ann: User) -> None:
    old = make(users=(ann,), scopes=["send"])
    done = run("rotate", "app", "--overlap", "12h")
    assert done.status == 0
    assert re.fullmatch(r"ossn_\S+\n", done.out), "the key alone"
    new = found(done.out)
    old.refresh_from_db()
    assert (new.name, new.scopes, list(new.users.all())) == ("app", ["send"], [ann])
    assert new.expires_at is None
    assert old.is_active
    assert about(old.expires_at, timedelta(hours=12))
    assert done.err == (
        f"The key {old.pk} expires at {old.expires_at:%Y-%m-%dT%H:%M:%SZ}.\n"
        f"The key {new.pk} is new and does not expire.\n"
    )


def test_rotate_has_a_sensible_overlap(run: Run) -> None:
    old = make()
    told = run("rotate", "app", "--json").json
    assert found(told["key"]).pk == told["id"] != old.pk
    old.refresh_from_db()
    assert about(old.expires_at, 7 * DAY)


def test_rotate_without_an_overlap(run: Run) -> None:
    old = make()
    found(run("rotate", "app", "--overlap", "0s").out)
    old.refresh_from_db()
    assert not old.is_active


def test_rotate_replaces_the_newest_and_lets_all_others_expire(run: Run) -> None:
    """Which one is the newest is a matter of time, and not of ids."""
    newest = make(scopes=["send"])
    older, soon = make(age=DAY), make(age=2 * DAY, expires_at=timezone.now() + DAY)
    revoked, other = make(), make("other")
    revoked.revoke()
    new = found(run("rotate", "app", "--overlap", "2d").out)
    assert new.scopes == ["send"]
    for api_key in (newest, older, soon, revoked, other):
        api_key.refresh_from_db()
    assert newest.expires_at == older.expires_at
    assert about(newest.expires_at, 2 * DAY)
    assert about(soon.expires_at, DAY)
    assert revoked.expires_at is None
    assert other.expires_at is None


def test_rotate_of_a_key_that_expires(run: Run) -> None:
    make(expires_at=timezone.now() + 3 * DAY)
    done = run("rotate", "app")
    new = found(done.out)
    assert about(new.expires_at, 3 * DAY)
    assert f"The key {new.pk} is new and expires at {new.expires_at:%Y-%m-%dT%H:%M:%SZ}." in done.err
    assert about(found(run("rotate", "app", "--expires", "90d").out).expires_at, 90 * DAY)
    assert sum(api_key.is_active for api_key in APIKey.objects.all()) == 3


def test_rotate_of_a_key_whose_users_are_gone(run: Run, ann: User) -> None:
    make(users=(ann,))
    ann.delete()
    assert found(run("rotate", "app").out).is_restricted


@pytest.mark.parametrize("wrong", [["--overlap", "soon"], ["--expires", "0s"]])
def test_rotate_with_a_wrong_span(run: Run, wrong: list[str]) -> None:
    make()
    done = run("rotate", "app", *wrong)
    assert (done.status, done.out) == (2, "")
    assert wrong[0] in done.err
    assert APIKey.objects.get().expires_at is None


# Changing and ending keys


def test_scope(run: Run, ann: User) -> None:
    one, two, other = make(), make(users=(ann,)), make("other")
    done = run("scope", "app", "read")
    assert done == (0, "", f"Key {one.pk}: read, as anyone.\nKey {two.pk}: read, as {ann.pk} ann.\n")
    for api_key in (one, two, other):
        api_key.refresh_from_db()
    assert (one.scopes, two.scopes, other.scopes) == (["read"], ["read"], ["send", "read"])
    assert not one.is_restricted
    assert list(two.users.all()) == [ann]


def test_scope_of_users(run: Run, ann: User, ben: User) -> None:
    api_key = make(users=(ann,), scopes=["read"])
    told = run("scope", "app", "--user", "ben", "--json").json
    assert [(fields["id"], fields["scopes"], fields["users"]) for fields in told] == [
        (api_key.pk, ["read"], [{"id": ben.pk, "username": "ben"}])
    ]
    assert not api_key.may_act_as(ann.pk)
    (told,) = run("scope", "app", "read", "send", "--anyone", "--json").json
    assert (told["scopes"], told["anyone"], told["users"]) == (["send", "read"], True, [])
    api_key.refresh_from_db()
    assert api_key.may_act_as(ann.pk)


def test_scope_of_one_of_many(run: Run, ann: User) -> None:
    one, two = make(), make(scopes=[])
    assert run("scope", "app", "--user", "ann", "--id", two.pk).err == f"Key {two.pk}: nothing, as {ann.pk} ann.\n"
    one.refresh_from_db()
    assert not one.is_restricted


def test_a_key_whose_users_are_gone_is_nobodys(run: Run, ann: User) -> None:
    make(users=(ann,))
    ann.delete()
    assert run("scope", "app", "read").err.endswith(": read, as no one.\n")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([], "Neither scopes nor users are given"),
        (["write"], "The scopes are send, read"),
        (["--anyone", "--user", "ann"], "not allowed with"),
    ],
)
def test_scope_with_wrong_usage(run: Run, wrong: list[str], reason: str) -> None:
    make()
    done = run("scope", "app", *wrong)
    assert (done.status, done.out) == (2, "")
    assert reason in done.err


def test_revoke(run: Run) -> None:
    one, two, other = make(), make(), make("other")
    done = run("revoke", "app")
    assert done == (0, "", f"The key {one.pk} is revoked.\nThe key {two.pk} is revoked.\n")
    assert list(APIKey.objects.active()) == [other]
    assert run("revoke", "app").status == 3


def test_revoke_one_of_many(run: Run) -> None:
    one, two = make(), make()
    (told,) = run("revoke", "app", "--id", one.pk, "--json").json
    assert (told["id"], told["active"]) == (one.pk, False)
    assert about(datetime.fromisoformat(told["revoked_at"]), timedelta())
    assert list(APIKey.objects.active()) == [two]


# Help


@pytest.mark.parametrize("action", ["", *ACTIONS])
def test_help(run: Run, action: str) -> None:
    done = run(*action.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert f"\n  manage.py ossn_apikey {action}" in done.out, "an example"
    for status in range(4):
        assert re.search(rf"^  {status}  \w", done.out, re.MULTILINE)
    if not action:
        assert all(re.search(rf"^    {action} +\w", done.out, re.MULTILINE) for action in ACTIONS)


@pytest.mark.parametrize("arguments", [[], ["destroy"], ["list", "more"], ["show"]])
def test_what_is_no_action(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert "usage: manage.py ossn_apikey" in done.err


def test_the_manual_has_an_example_of_each_action() -> None:
    """``tests/manual/test_sites.py`` runs them."""
    guide = pages()["docs/howto/keys.md"]
    assert set(re.findall(r"^python manage\.py ossn_apikey (\w+)", guide, re.MULTILINE)) == set(ACTIONS)


# Spans of time


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta()),
        ("36525d", LONGEST),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-7d", "7 d", " 7d", "7d\n", "7D", "1.5h", "7dd", "²d", "36526d", "9" * 5000 + "w"]
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
