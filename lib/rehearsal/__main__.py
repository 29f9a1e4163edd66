"""The process of the rehearsal account: comes up, says how to reach it, ends with its parent."""

import gc
import json
import os
import secrets
import socket
import sys
from functools import partial

from rehearsal.instances import choose_mode


def main() -> None:
    """Serves the account until the standard input ends.

    The first line of the standard output tells the parent everything, keys included, that it
    needs; nothing of it is ever on disk or in an argument that others could see.
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

        lab = Lab(mode)
    except OSError as error:  # what this machine refuses, and what the self-test found
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    gc.freeze()
    gc.enable()
    try:
        lab.front.secret = secrets.token_urlsafe(30)
        lab.front.let_in = partial(lab.let_in, door)
        lab.serve(listener)
        greeting = {
            "port": listener.getsockname()[1],
            "account_id": lab.account_id,
            "region": lab.region,
            "mode": mode.name,
            "reason": mode.reason,
            "people": {name: caller.environment() for name, caller in lab.people.items()},
            "ids": lab.ids,
            "secret": lab.front.secret,
        }
        print(json.dumps(greeting), flush=True)
        sys.stdin.read()
    finally:
        lab.close()


if __name__ == "__main__":
    main()
    os._exit(0)  # the kernel takes away in no time what the interpreter takes down in a second
