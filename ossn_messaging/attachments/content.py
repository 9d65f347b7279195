"""Validation of the content of a file, and the content that is stored.

Neither this module nor those that it imports need Django: they run in the processes of ``inspection_server``.
"""

from ossn_messaging.attachments import docx, images, pdf
from ossn_messaging.attachments.file_types import BY_NAME, DOCX, PDF, identify
from ossn_messaging.attachments.rules import Reason, Rejected, Rules


def sanitize(content: bytes, rules: Rules) -> bytes | None:
    """Return the content to store, or ``None`` if the file is stored unchanged.

    Raises ``Rejected`` if the content breaks a rule.
    """
    expected, found = BY_NAME[rules.file_type], identify(content)
    if expected is DOCX and docx.is_password_protected(content):
        raise Rejected(Reason.PASSWORD_PROTECTED)
    if found is not expected:
        raise Rejected(Reason.WRONG_TYPE, "ZIP" if found is DOCX else found.name if found else "")
    if not expected.is_image:
        check = pdf.check if expected is PDF else docx.check
        check(content, rules.active_content)
        return None
    image = images.sanitize_image(content, expected.name, rules.max_pixels)
    if len(image) > rules.max_size:
        raise Rejected(Reason.TOO_LARGE)
    return image
