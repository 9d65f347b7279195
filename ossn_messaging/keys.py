"""API keys: how they are issued, stored and found, and what they may do."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from ossn_messaging.compiled import Compiled
from ossn_messaging.redaction import MAX_SECRET_LENGTH

if TYPE_CHECKING:
    from ossn_messaging.models import APIKey

SCOPES = {"send": gettext_lazy("send and delete messages"), "read": gettext_lazy("read messages and attachments")}
"""What a key may be allowed to do."""
USE_INTERVAL = timedelta(minutes=5)
"""How long ``last_used_at`` stays as it is, however often the key is used."""


def all_scopes() -> list[str]:
    return list(SCOPES)


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Return ``scopes`` in the order of ``SCOPES``; raises ``ValueError`` where one is unknown."""
    given = set(scopes)
    if not given <= set(SCOPES):
        raise ValueError(_("The scopes are %(scopes)s.") % {"scopes": ", ".join(SCOPES)})
    return [scope for scope in SCOPES if scope in given]


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key, in hexadecimal: it has 256 random bits, so no slow hash is called for."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def active(self) -> Self:
        """Return the keys that are neither revoked nor expired."""
        return self._active_at(timezone.now())

    def _active_at(self, time: datetime) -> Self:
        return self.filter(Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=time)))

    @Compiled
    def lookup(self, digest: str) -> Self:
        """Return the key with this digest, as the database compares digests."""
        return self.filter(digest=digest)

    def revoke(self) -> int:
        """Revoke the keys that are not revoked yet, and return how many."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())

    def expire_by(self, time: datetime) -> int:
        """Let the keys that would be active longer expire at ``time``, and return how many."""
        return self._active_at(time).update(expires_at=time)

    def touch(self) -> int:
        """Write that the keys are used now, unless that was written a moment ago, and return of how many."""
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
        """Make a key and return it with its text, which can't be had again.

        It may act as ``users``, or as anyone where there are none. Raises ``ValueError`` for a scope that is unknown.
        """
        api_key = self.model(name=name, scopes=checked_scopes(scopes), expires_at=expires_at)
        with transaction.atomic(using=self._writer()):
            key = self.issue(api_key)
            api_key.restrict_to(users)
        return api_key, key

    @sensitive_variables("key")
    def issue(self, api_key: "APIKey") -> str:
        """Save a new ``api_key`` and return its text: 256 random bits."""
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
        """Take over a key that clients already have.

        Raises ``ValueError`` if it is empty, too long, contains white space or is known, or if a scope is unknown.
        """
        if key.split() != [key] or len(key) > MAX_SECRET_LENGTH:
            raise ValueError(_("A key has 1 to %(most)s characters and no white space.") % {"most": MAX_SECRET_LENGTH})
        defaults = {"name": name, "scopes": checked_scopes(scopes), "expires_at": expires_at}
        with transaction.atomic(using=self._writer()):
            api_key: APIKey
            api_key, created = self.get_or_create(digest=digest_of(key), defaults=defaults)
            if not created:
                raise ValueError(_("This key is known already."))
            api_key.restrict_to(users)
        return api_key

    @sensitive_variables("made")
    def rotate(self, api_key: "APIKey", overlap: timedelta) -> "tuple[APIKey, str]":
        """Do what ``APIKey.rotate`` says."""
        using = self._writer()
        with transaction.atomic(using=using):
            current = self.active().filter(pk=api_key.pk).select_for_update().first()
            if current is None:
                raise ValueError(_("The key is revoked or expired."))
            made = self.create_key(current.name, current.scopes, current.users.using(using), current.expires_at)
            if current.is_restricted and not made[0].is_restricted:  # to users who are all gone
                made[0].is_restricted = True
                made[0].save(update_fields=["is_restricted"])
            self.filter(pk=api_key.pk).expire_by(timezone.now() + overlap)
        api_key.refresh_from_db(using=using, fields=["expires_at"])
        return made

    def _writer(self) -> str:
        return self._db or router.db_for_write(self.model)

    @sensitive_variables("key")
    def find(self, key: str) -> "APIKey | None":
        """Return the active key whose text is ``key``, and write that it is used; ``None`` if there is none.

        The database that is written to is asked: a copy of it might not know yet that a key was revoked.
        """
        digest, keys = digest_of(key), self.using(self._writer())
        api_key: APIKey | None = next(iter(keys.lookup(digest)), None)
        # MariaDB takes digests in capitals for equal.
        if api_key is None or not constant_time_compare(api_key.digest, digest) or not api_key.is_active:
            return None
        if api_key.last_used_at is None or api_key.last_used_at <= timezone.now() - USE_INTERVAL:
            keys.filter(pk=api_key.pk).touch()
        return api_key
