from typing import Any

from django.core.files.storage import Storage, default_storage
from django.db import models

from ossn_messaging.storage import attachment_storage


class AttachmentField(models.FileField):
    """A ``FileField`` that looks its storage up at each use, so that it always is the one in the settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_made = False
        super().__init__(*args, **kwargs)
        self.is_made = True

    @property
    def storage(self) -> Storage:
        # While the models are imported, a storage that can't be made would be a traceback and not a system check.
        return attachment_storage() if self.is_made else default_storage

    @storage.setter
    def storage(self, storage: Storage) -> None:
        pass

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("storage", None)
        return name, path, args, kwargs
