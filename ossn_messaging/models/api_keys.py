"""API keys: issue, storage, lookup and permissions."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ossn_messaging.exceptions import ScopeMissing, UserNotPermitted
from ossn_messaging.models.cached_query import cached_query
from ossn_messaging.redaction import MAX_SECRET_LENGTH

SCOPES = {"send": _("send and delete messages, block users"), "read": _("read messages and attachments")}
"""The scopes that a key can have, each with its description."""
USE_INTERVAL = timedelta(minutes=5)
"""``last_used_at`` is updated at most once in this time."""


def all_scopes() -> list[str]:
    return list(SCOPES)


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Return ``scopes`` in the order of ``SCOPES``.

    Raises ``ValueError`` if a scope is unknown.
    """
    given = set(scopes)
    if not given <= set(SCOPES):
        raise ValueError(_("The scopes are %(scopes)s.") % {"scopes": ", ".join(SCOPES)})
    return [scope for scope in SCOPES if scope in given]


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key, in hexadecimal.

    A key that the app makes has 256 random bits, so it needs no slow password hash.
    """
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def active(self) -> Self:
        """Return the keys that are neither revoked nor expired."""
        return self._active_at(timezone.now())

    def _active_at(self, time: datetime) -> Self:
        return self.filter(Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=time)))

    @cached_query()
    def lookup(self, digest: str) -> Self:
        """Return the keys with this digest. The database may ignore case when it compares digests."""
        return self.filter(digest=digest)

    def revoke(self) -> int:
        """Revoke the keys that are not revoked yet, and return their number."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())

    def expire_by(self, time: datetime) -> int:
        """Let the keys that would still be active at ``time`` expire then, and return their number."""
        return self._active_at(time).update(expires_at=time)

    def touch(self) -> int:
        """Set ``last_used_at`` to now if it is older than ``USE_INTERVAL``, and return the number of changed keys."""
        now = timezone.now()
        return self.filter(Q(last_used_at=None) | Q(last_used_at__lte=now - USE_INTERVAL)).update(last_used_at=now)


class APIKeyManager(models.Manager.from_queryset(APIKeyQuerySet)):  # type: ignore[misc]
    @sensitive_variables("key")
    def create_key(
        self,
        name: str,
        scopes: Iterable[str] = ("send", "read"),
        users: Iterable[AbstractBaseUser] = (),
        expires_at: datetime | None = None,
    ) -> "tuple[APIKey, str]":
        """Create a key and return it with its text.

        The text is available only now, because only its SHA-256 hash is stored. The key may act as ``users``, or as any
        user if ``users`` is empty.

        Raises ``ValueError`` if a scope is unknown.
        """
        api_key = self.model(name=name, scopes=checked_scopes(scopes), expires_at=expires_at)
        with transaction.atomic(using=self._writer()):
            key = self.issue(api_key)
            api_key.restrict_to(users)
        return api_key, key

    @sensitive_variables("key")
    def issue(self, api_key: "APIKey") -> str:
        """Save ``api_key`` as a new key, and return its text, which has 256 random bits."""
        key = f"ossn_{secrets.token_urlsafe(32)}"
        api_key.digest = digest_of(key)
        api_key.save(using=self._db, force_insert=True)
        return key

    @sensitive_variables("key")
    def import_key(
        self,
        name: str,
        key: str,
        scopes: Iterable[str] = ("send", "read"),
        users: Iterable[AbstractBaseUser] = (),
        expires_at: datetime | None = None,
    ) -> "APIKey":
        """Store a key that clients already have, and return it.

        Raises ``ValueError`` if the key is empty, is too long, contains white space or is already stored, or if a scope
        is unknown.
        """
        if key.split() != [key] or len(key) > MAX_SECRET_LENGTH:
            raise ValueError(_("A key has 1 to %(most)s characters and no white space.") % {"most": MAX_SECRET_LENGTH})
        defaults = {"name": name, "scopes": checked_scopes(scopes), "expires_at": expires_at}
        with transaction.atomic(using=self._writer()):
            api_key: APIKey
            api_key, created = self.get_or_create(digest=digest_of(key), defaults=defaults)
            if not created:
                raise ValueError(_("This key already exists."))
            api_key.restrict_to(users)
        return api_key

    @sensitive_variables("made")
    def rotate(self, api_key: "APIKey", overlap: timedelta) -> "tuple[APIKey, str]":
        """Replace ``api_key`` as ``APIKey.rotate()`` describes, and return the new key with its text."""
        using = self._writer()
        with transaction.atomic(using=using):
            current = self.active().filter(pk=api_key.pk).select_for_update().first()
            if current is None:
                raise ValueError(_("The key is revoked or expired."))
            made = self.create_key(current.name, current.scopes, current.users.using(using), current.expires_at)
            if current.is_restricted and not made[0].is_restricted:  # all users of the key are deleted
                made[0].is_restricted = True
                made[0].save(update_fields=["is_restricted"])
            self.filter(pk=api_key.pk).expire_by(timezone.now() + overlap)
        api_key.refresh_from_db(using=using, fields=["expires_at"])
        return made

    def _writer(self) -> str:
        return self._db or router.db_for_write(self.model)

    @sensitive_variables("key")
    def find(self, key: str) -> "APIKey | None":
        """Return the active key whose text is ``key`` and update its ``last_used_at``, or return ``None``.

        The query uses the database for writes, because a replica might not know yet that a key was revoked.
        """
        digest, keys = digest_of(key), self.using(self._writer())
        api_key: APIKey | None = next(iter(keys.lookup(digest)), None)
        # MariaDB ignores case when it compares digests.
        if api_key is None or not constant_time_compare(api_key.digest, digest) or not api_key.is_active:
            return None
        if api_key.last_used_at is None or api_key.last_used_at <= timezone.now() - USE_INTERVAL:
            keys.filter(pk=api_key.pk).touch()
        return api_key


class APIKey(models.Model):
    """A key that allows a program to use the API. Only its SHA-256 hash is stored."""

    name = models.CharField(_("name"), max_length=100)
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    """SHA-256 of the key, in hexadecimal."""
    scopes = models.JSONField(_("scopes"), default=all_scopes)
    """A list of names from ``SCOPES``."""
    users = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="ossn_api_keys",
        verbose_name=_("users"),
        help_text=_("The key may act only as these users. If there are none, it may act as any user."),
    )
    is_restricted = models.BooleanField(_("restricted to its users"), default=False, editable=False)
    """Whether the key may act only as ``users``. This stays true if all of them are deleted."""
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    """Exact to ``USE_INTERVAL``."""

    objects = APIKeyManager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def require(self, scope: str, user_id: int) -> None:
        """Raise ``ScopeMissing`` if the key lacks the scope, ``UserNotPermitted`` if it may not act as the user."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)
        if not self.may_act_as(user_id):
            raise UserNotPermitted

    def may_act_as(self, *user_ids: int) -> bool:
        """Return whether the key may act as at least one of these users."""
        return not self.is_restricted or self.users.using(self._writer).filter(pk__in=user_ids).exists()

    def restrict_to(self, users: "Iterable[AbstractBaseUser]") -> None:
        """Restrict the key to these users. If there are none, the key may act as any user."""
        chosen = list(users)
        with transaction.atomic(using=self._writer):
            self.is_restricted = bool(chosen)
            self.save(using=self._writer, update_fields=["is_restricted"])
            self.users.set([user.pk for user in chosen])

    def revoke(self) -> None:
        """Revoke the key immediately. If it is already revoked, ``revoked_at`` does not change."""
        type(self).objects.using(self._writer).filter(pk=self.pk).revoke()
        self.refresh_from_db(using=self._writer, fields=["revoked_at"])

    def rotate(self, overlap: timedelta) -> "tuple[APIKey, str]":
        """Create a key with the same name, scopes, users and expiry, and return it with its text.

        This key expires after ``overlap``, or earlier if its expiry is earlier. The text of the new key is available
        only now, because only its SHA-256 hash is stored.

        Raises ``ValueError`` if this key is not active.
        """
        keys = type(self).objects.db_manager(self._writer)
        made: tuple[APIKey, str] = keys.rotate(self, overlap)
        return made

    @property
    def _writer(self) -> str:
        return router.db_for_write(type(self), instance=self)
