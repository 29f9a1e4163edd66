"""The operator's own OpenSSH: `ssh` brings the script to a shell on each instance, side by side."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from private_s3 import progress
from private_s3.errors import BadInput, CheckFailed
from private_s3.folder import project_directory
from private_s3.probes import Observation
from private_s3.ways_in import printed
from private_s3.ways_in.side_by_side import Ended, run
from private_s3.ways_in.ssh_errors import trouble
from private_s3.ways_in.way import Bracket, Heard, Silence, digest

OPERATION = "ssh"
INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
# Seconds: to come to an agreement with the instance, and for the whole of it.
CONNECT_TIMEOUT, TIME_LIMIT = 20, 330
# A bastion's sshd lets ten come in at once before it begins to drop some (MaxStartups).
AT_ONCE = 8
# The first value that ssh finds counts, so that no configuration can take these back.
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    # Both would let a host in whose key nobody has vouched for; so may a connection that is shared.
    "NoHostAuthenticationForLocalhost": "no",
    "VerifyHostKeyDNS": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "UpdateHostKeys": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "INFO",  # what it says is what the operator is told
    "ConnectTimeout": str(CONNECT_TIMEOUT),
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "2",
}


@dataclass(frozen=True)
class OpenSsh:
    """The way of OpenSSH; `write` brackets it, as Record.write does.

    `configuration` says how to reach each instance by its id; None is the operator's own.
    """

    write: Bracket
    configuration: Path | None

    @classmethod
    def of(cls, write: Bracket, ssh_config: str) -> OpenSsh:
        """By the parameter `ssh_config`, a path from the project's top; BadInput if it is none."""
        if not ssh_config:
            return cls(write, None)
        path = project_directory() / Path(ssh_config).expanduser()
        if not path.is_file():
            raise BadInput(
                "Could not use ssh for the checks; nobody was asked.",
                f"ssh_config = {ssh_config!r}: there is no such file.",
                "give the OpenSSH configuration that says how to reach each instance by its id, "
                "or leave ssh_config empty to use your own",
            )
        return cls(write, path)

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        """What each probe saw on each instance that ssh reaches, and why it did not reach others.

        The script goes in by the standard input: nothing of it is in an argument.
        """
        ids = list(dict.fromkeys([*instance_ids, *optional]))
        if not ids:
            return Heard([], {})
        program, mark = _program(), printed.mark(script)
        commands = {one: self.command(program, one) for one in ids}
        ended = self._run(commands, printed.marked(script, mark))
        heard = {one: self._heard(one, end, mark, probes) for one, end in ended.items()}
        silent = {one: found for one, found in heard.items() if isinstance(found, Silence)}
        seen = [found for found in heard.values() if not isinstance(found, Silence)]
        return Heard([observation for found in seen for observation in found], silent)

    def _run(self, commands: Mapping[str, Sequence[str]], script: str) -> dict[str, Ended]:
        """How ssh ended for each instance, noted in the journal before and after."""
        ids = list(commands)
        told = {
            "InstanceIds": ids,
            "configuration": self.configuration.name if self.configuration else "the operator's",
            "script": f"sha256 {digest(script)}",
        }
        many = f"{len(ids)} instances" if ids[1:] else ids[0]
        limit = TIME_LIMIT * -(-len(ids) // AT_ONCE)
        bounds = {"limit": TIME_LIMIT, "at_once": AT_ONCE, "longest": printed.LONGEST}
        with (
            self.write(OPERATION, told, "-") as outcome,
            progress.waiting(f"the answers of {many}", limit) as tick,
        ):
            ended = run(commands, script, **bounds, tick=tick)
            outcome.values = {"ended": {one: str(end) for one, end in ended.items()}}
        return ended

    def command(self, program: str, instance_id: str) -> list[str]:
        """The command line for an instance, which has nothing in it but its id."""
        if not INSTANCE.fullmatch(instance_id):
            raise BadInput(
                "Could not use ssh for the checks; nobody was asked.",
                f"{instance_id!r} is no id of an instance.",
                "correct instance_ids",
            )
        file = ["-F", str(self.configuration)] if self.configuration else []
        options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
        return [program, *file, *options, "-T", "-a", "-x", "--", instance_id, "sh -s"]

    def _heard(
        self, instance_id: str, end: Ended, mark: str, probes: Sequence[str]
    ) -> list[Observation] | Silence:
        if end.code != 0 or end.cut:
            name = str(self.configuration) if self.configuration else "your OpenSSH configuration"
            return trouble(instance_id, end, name)
        # What the login itself prints stands before what the script does.
        _, first, rest = end.output.partition(f'{{"script":"{mark}"')
        try:
            return printed.read(instance_id, (first + rest) or end.output, mark, probes)
        except printed.Unreadable as error:
            said = "" if first else f"; it ends: {' '.join(end.output[-200:].split()) or 'nothing'}"
            return Silence(
                f"what came back by ssh is not what the script prints: {error}{said}",
                f"see with `ssh {instance_id} sh -s` and a script of your own that the "
                "configuration leads to this instance, and to a plain POSIX shell there",
            )


def _program() -> str:
    if program := shutil.which("ssh"):
        return program
    raise CheckFailed(
        "Could not use ssh for the checks; nobody was asked.",
        "There is no program `ssh` on the search path.",
        "install the OpenSSH client, or set check_by to ssm or manual",
    )
