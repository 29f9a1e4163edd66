"""The tests: by what they need, a folder each. CONTRIBUTING.md says which folder is for what."""

from pathlib import Path

PROJECT = Path(__file__).parent.parent
