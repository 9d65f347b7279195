"""The types of file that the API takes as attachments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileType:
    """What a file extension promises about the content of a file."""

    name: str
    """For images, the name of the format in Pillow."""
    content_type: str
    is_image: bool = False

    @property
    def disposition(self) -> str:
        """The type of the header ``Content-Disposition`` (RFC 6266, section 4.2)."""
        return "inline" if self.is_image else "attachment"


JPEG = FileType("JPEG", "image/jpeg", is_image=True)
PNG = FileType("PNG", "image/png", is_image=True)
GIF = FileType("GIF", "image/gif", is_image=True)
WEBP = FileType("WEBP", "image/webp", is_image=True)
DOCX = FileType("DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
PDF = FileType("PDF", "application/pdf")

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
"""The extensions that the API takes."""

BY_CONTENT_TYPE = {file_type.content_type: file_type for file_type in BY_EXTENSION.values()}
BY_NAME = {file_type.name: file_type for file_type in BY_EXTENSION.values()}

PDF_HEADER_REACH = 1024
"""In bytes, how far from the start of a file ``%PDF-`` may stand (PDF Reference 1.7, appendix H, note 13)."""


def identify(content: bytes) -> FileType | None:
    """Return the type that a file has by its first bytes, ``None`` if they are of no type that the API takes.

    Any ZIP archive counts as a DOCX here.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if content.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return WEBP
    if content.startswith(b"PK\x03\x04"):
        return DOCX
    return PDF if b"%PDF-" in content[:PDF_HEADER_REACH] else None
