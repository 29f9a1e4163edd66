"""What the command of a symptom really prints, on app-1 or as the operator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from rehearsal import Account
from rehearsal.symptoms.catalogue import SYMPTOMS
from rehearsal.symptoms.ground import INSTANCE

_NAME = re.compile(r"<([a-z0-9-]+)>")
_SECONDS = 60


def command(account: Account, name: str) -> str:
    """The command of a symptom as it is typed in this account."""
    ids = {**account.ids, "region": account.region, "account": account.account_id}
    return _NAME.sub(lambda found: ids[found[1]], SYMPTOMS[name].command)


def see(account: Account, name: str) -> str:
    """Runs the command of a symptom, and gives what it printed.

    On app-1 it is run by Systems Manager, as root asks it to: ClientError if that is refused.
    """
    typed = command(account, name)
    if SYMPTOMS[name].at == "operator":
        return _as_operator(account, typed)
    return _on_instance(account, typed)


def _as_operator(account: Account, typed: str) -> str:
    path = f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        ["sh", "-c", typed],
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **account.environment()},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.stdout + done.stderr


def _on_instance(account: Account, typed: str) -> str:
    ssm, instance_id = account.client("ssm"), account.ids[INSTANCE]
    command_id = ssm.send_command(
        InstanceIds=[instance_id],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [typed], "executionTimeout": [str(_SECONDS)]},
    )["Command"]["CommandId"]
    end = time.monotonic() + _SECONDS + 10
    while time.monotonic() < end:
        time.sleep(0.02)
        try:
            found = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        except ssm.exceptions.InvocationDoesNotExist:
            continue  # not yet, right after it was sent
        if found["Status"] not in ("Pending", "InProgress"):
            return str(found["StandardOutputContent"] + found["StandardErrorContent"])
    raise TimeoutError(f"The command did not end on {INSTANCE}: {typed}")
