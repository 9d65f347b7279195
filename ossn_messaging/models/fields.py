from typing import Any

from django.core.files.storage import Storage, default_storage
from django.db import models

from ossn_messaging.storage import attachment_storage


class AttachmentField(models.FileField):
    """A ``FileField`` that looks up its storage at each use, so that it follows the current settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_made = False
        super().__init__(*args, **kwargs)
        self.is_made = True

    @property
    def storage(self) -> Storage:
        # During the import of the models, a misconfigured storage would raise before the system checks can report it.
        return attachment_storage() if self.is_made else default_storage

    @storage.setter
    def storage(self, storage: Storage) -> None:
        pass

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("storage", None)
        return name, path, args, kwargs
