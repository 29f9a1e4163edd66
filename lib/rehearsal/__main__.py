"""The process of the rehearsal account: comes up, says how to reach it, ends with its parent.

The account is built once, and served by a fork of this process. To put the account back to its
start is to end that fork and to begin another: what was built is still as it was.
"""

import gc
import json
import os
import secrets
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from rehearsal.instances import choose_mode

if TYPE_CHECKING:
    from rehearsal.lab import Lab

_SECONDS_TO_END = 5


class Served:
    """The account as a fork of this process serves it, until `end`, or until this process ends."""

    def __init__(
        self, lab: "Lab", listener: socket.socket, door: socket.socket, *, first: bool
    ) -> None:
        ready, says_ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(ready)
            os.close(self._lifeline)
            _serve(lab, listener, door, lifeline, says_ready, first)
        os.close(says_ready)
        os.close(lifeline)
        with os.fdopen(ready) as pipe:
            self.error = json.loads(pipe.read() or '"The process that serves the account ended."')

    def end(self) -> None:
        """Ends it with all that runs in it."""
        os.close(self._lifeline)
        deadline = time.monotonic() + _SECONDS_TO_END
        while not os.waitpid(self._process, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(self._process, signal.SIGKILL)
            time.sleep(0.005)


def _serve(
    lab: "Lab",
    listener: socket.socket,
    door: socket.socket,
    lifeline: int,
    says_ready: int,
    first: bool,
) -> None:
    """Serves the account until the other end of the lifeline is closed; does not return."""
    gc.freeze()
    gc.enable()
    try:
        error = ""
        try:
            lab.serve(listener, door)
            if first:  # the next one has the same parts
                lab.test_instance()
        except OSError as refused:  # what this machine refuses, and what the self-test found
            error = str(refused) or repr(refused)
        os.write(says_ready, json.dumps(error).encode())
        os.close(says_ready)
        os.read(lifeline, 1)
        lab.close()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)  # the kernel takes away in no time what the interpreter takes down in a second


def main() -> None:
    """Serves the account until the standard input ends; each line there puts it back to its start.

    Arguments: the mode, and the path of a scenario if it is not the usual one.
    The first line of the standard output tells the parent everything, keys included, that it
    needs; nothing of it is ever on disk or in an argument that others could see. One more line
    comes each time that the account is back at its start.
    """
    # The second is for ssh, and nobody accepts there until somebody asks for it.
    listener, door = (socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2))
    gc.disable()  # what is loaded now stays; to search it for garbage takes a fifth of the start
    try:
        # Before anything starts a thread or imports moto: one thread alone may enter a namespace.
        mode = choose_mode(sys.argv[1])
        from rehearsal import loading

        loading.install()
        from rehearsal.lab import Lab

        lab = Lab(mode, *sys.argv[2:])
    except OSError as error:
        _say(error=str(error))
        sys.exit(1)
    lab.front.secret = secrets.token_urlsafe(30)
    greeting: dict[str, Any] = {
        "port": listener.getsockname()[1],
        "account_id": lab.account_id,
        "region": lab.region,
        "mode": mode.name,
        "reason": mode.reason,
        "people": {name: caller.environment() for name, caller in lab.people.items()},
        "ids": lab.ids,
        "secret": lab.front.secret,
    }
    served = Served(lab, listener, door, first=True)
    if served.error:
        served.end()
        _say(error=served.error)
        sys.exit(1)
    _say(**greeting)
    while sys.stdin.readline():
        served.end()
        served = Served(lab, listener, door, first=False)
        _say(**({"error": served.error} if served.error else {}))
    served.end()


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # as above
