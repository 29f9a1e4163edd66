"""The tests: by what they need, a folder each. CONTRIBUTING.md says which folder is for what."""

import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent
# jsonschema imports it where it is installed, to check a format that nothing here uses; its import
# alone takes two seconds of each test process.
_modules: dict[str, Any] = sys.modules
_modules.setdefault("rfc3987_syntax", None)
