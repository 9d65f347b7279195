"""What tests share. Fixtures are in ``tests/conftest.py``, and the site of the tests is ``tests/settings.py``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""Of the repository."""
SAMPLES_FOLDER = ROOT / "tests/samples"
"""Files that real programs have made."""
