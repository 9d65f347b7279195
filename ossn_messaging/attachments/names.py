"""The file name of an attachment, as it is stored and shown."""

import re
import unicodedata

MAX_LENGTH = 255
"""In characters."""
DROPPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""The categories of Unicode with control and format characters, lone surrogates and line breaks."""
KEPT = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""The format characters that belong to a text: joiners, which emoji need, too, and visible signs."""
NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]')
DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)
"""Reserved names of devices on Windows, with any extension (Microsoft, "Naming Files, Paths, and Namespaces")."""


def clean_name(name: str) -> str:
    """Return a client's file name without folders and invisible characters, in a form that every system can store."""
    base = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(
        character for character in base if character in KEPT or unicodedata.category(character) not in DROPPED
    )
    cleaned = NOT_ON_WINDOWS.sub("_", " ".join(visible.split())).rstrip(". ")
    return f"_{cleaned}" if DEVICE.match(cleaned) else cleaned
