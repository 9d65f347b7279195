"""The kinds of file that the protocol takes as an attachment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a file extension promises about the bytes behind it."""

    content_type: str
    picture_format: str = ""
    """The name of the format in Pillow, empty for a document."""

    @property
    def is_image(self) -> bool:
        return bool(self.picture_format)

    @property
    def disposition(self) -> str:
        """How a browser is to take it (RFC 6266, 4.2)."""
        return "inline" if self.is_image else "attachment"


JPEG = Kind("image/jpeg", "JPEG")
PNG = Kind("image/png", "PNG")
GIF = Kind("image/gif", "GIF")
WEBP = Kind("image/webp", "WEBP")
DOCX = Kind("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
PDF = Kind("application/pdf")

BY_EXTENSION = {
    "jpg": JPEG,
    "png": PNG,
    "jpeg": JPEG,
    "jfif": JPEG,
    "gif": GIF,
    "webp": WEBP,
    "docx": DOCX,
    "pdf": PDF,
}
"""The extensions of the API document, in its order."""

BY_CONTENT_TYPE = {kind.content_type: kind for kind in BY_EXTENSION.values()}
