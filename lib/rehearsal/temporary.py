"""A folder for files of one process, which goes with the process however that ends."""

import os
import subprocess
import tempfile
from pathlib import Path

# Waits at its standard input for the end of the process, however it comes about.
_REMOVE_AT_THE_END = """read -r _
rm -rf "$1" || { sleep 1; rm -rf "$1"; }  # a script that ends now may still write
"""


class Folder:
    """A new folder that only this user may enter; `ends` can be read once this process is over."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self.ends, self._lifeline = os.pipe()
        command = ["sh", "-c", _REMOVE_AT_THE_END, "sh", str(self.path)]
        self._keeper = subprocess.Popen(command, stdin=self.ends, start_new_session=True)

    def close(self) -> None:
        """Removes it, with all that is in it."""
        os.close(self._lifeline)
        self._keeper.wait()
        os.close(self.ends)
