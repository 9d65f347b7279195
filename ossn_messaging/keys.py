"""API keys: how they are issued, kept and found."""

import hashlib
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models, router
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

if TYPE_CHECKING:
    from ossn_messaging.models import APIKey


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key, in hexadecimal: it has 256 random bits, so no slow hash is called for."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def live(self) -> Self:
        """Those that are neither revoked nor expired."""
        now = timezone.now()
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)

    def revoke(self) -> int:
        """End those that have not ended, and return how many."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())


class APIKeyManager(models.Manager.from_queryset(APIKeyQuerySet)):  # type: ignore[misc]
    def create_key(self, name: str, *, expires_at: datetime | None = None) -> "tuple[APIKey, str]":
        """Make a key and return it with its text, which can't be had again."""
        api_key = self.model(name=name, expires_at=expires_at)
        return api_key, self.issue(api_key)

    def issue(self, api_key: "APIKey") -> str:
        """Save a new ``api_key`` and return its text: 256 random bits."""
        key = f"ossn_{secrets.token_urlsafe(32)}"
        api_key.digest = digest_of(key)
        api_key.save(using=self._db, force_insert=True)
        return key

    @sensitive_variables("key")
    def import_key(self, name: str, key: str, *, expires_at: datetime | None = None) -> "APIKey":
        """Take over a key that clients already have.

        Raises ``ValueError`` where it is empty, holds white space, or is known already.
        """
        if key.split() != [key]:
            raise ValueError(_("A key has at least one character and no white space."))
        api_key: APIKey
        api_key, created = self.get_or_create(digest=digest_of(key), defaults={"name": name, "expires_at": expires_at})
        if not created:
            raise ValueError(_("This key is known already."))
        return api_key

    def _writer(self) -> str:
        return self._db or router.db_for_write(self.model)

    @sensitive_variables("key")
    def find(self, key: str) -> "APIKey | None":
        """Return the live key whose text is ``key``: what has ended is as if unknown, in its time as well.

        The database that is written to is asked: a copy of it might not know yet that a key was revoked.
        """
        digest = digest_of(key)
        api_key: APIKey | None = self.using(self._writer()).live().filter(digest=digest).first()
        return api_key if api_key and constant_time_compare(api_key.digest, digest) else None
