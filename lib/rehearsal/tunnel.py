"""Joins its standard input and output with port 22 of an instance, for OpenSSH's ProxyCommand.

Run as a program. It stands for `aws ec2-instance-connect open-tunnel`, and knocks at the door of
the rehearsal account. Arguments: the file that says where that is and what to say there, and the id
of the instance.
"""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

_ANSWERS = {b"+": "", b"-": "The rehearsal account has no such running instance."}


def main(file: str, instance_id: str) -> None:
    """Does what the module says; SystemExit with a reason where the door stays closed."""
    # With this ssh ends it. Under nohup it would be ignored, and so keep ssh's caller waiting.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    port, secret = Path(file).read_text().split()
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as door:
        door.settimeout(None)
        door.sendall(f"{secret} {instance_id}\n".encode())
        # No answer comes as long as packets are dropped: ssh gives up by its own limit.
        answer = door.recv(1)
        if refusal := _ANSWERS.get(answer, "The door of the rehearsal account was shut."):
            sys.exit(refusal)
        threading.Thread(target=_send, args=[door], daemon=True).start()
        with suppress(OSError):  # until ssh has left
            while piece := door.recv(65536):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()


def _send(door: socket.socket) -> None:
    with suppress(OSError):
        while piece := os.read(0, 65536):
            door.sendall(piece)
        door.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(*sys.argv[1:])
