"""What ssh says when it does not come through: what that means, and what to do."""

from __future__ import annotations

import re

from private_s3.ways_in.side_by_side import Ended
from private_s3.ways_in.way import Silence

FAILED = 255  # ssh's own exit code; any other is that of the script
READ_THE_KEY = (
    "read its host key where you can trust it (aws ec2 get-console-output --latest --instance-id "
    "{instance} prints it after the first start) and put it into known_hosts under the name "
    "{instance}"
)
# By what ssh prints, the first that is found: what it means, and what to do. A ProxyCommand says
# what is wrong before ssh itself says that it ended.
TROUBLES = {
    r"Can't open user config file|[Bb]ad configuration option|terminating, \d+ bad"
    r"|Bad owner or permissions|Cannot execute command-line": (
        "ssh cannot use its configuration",
        "correct {configuration}",
    ),
    r"HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed|marked as revoked": (
        "it showed another host key than the one that is known",
        "find out whether {instance} was replaced, or somebody stands between; only then take the "
        "old key out of known_hosts, and " + READ_THE_KEY,
    ),
    r"host key is known for|Host key verification failed": (
        "its host key is not known, and unknown hosts are never trusted",
        READ_THE_KEY,
    ),
    r"Permission denied|Too many authentication failures|No supported authentication": (
        "it did not let you in",
        "let {configuration} name the User of {instance} and the IdentityFile of a key that it "
        "accepts (one of EC2 Instance Connect is good for 60 seconds), or load the key into your "
        "agent: ssh cannot ask for a passphrase here",
    ),
    r"[Cc]ould not resolve hostname|Name or service not known|not known by the configuration": (
        "its name is not known",
        "give {configuration} a `Host i-*` that says how to reach {instance}: a ProxyCommand with "
        "an EC2 Instance Connect Endpoint, or a ProxyJump and a HostName",
    ),
    r"[Tt]imed out|Connection refused|No route to host|Network is unreachable|reset by peer": (
        "there is no connection to it",
        "see that {instance} runs its sshd, that its security group lets TCP 22 in from the "
        "bastion or the EC2 Instance Connect Endpoint, and that those reach its subnet",
    ),
    r"UNKNOWN port|stdio forwarding failed|[Pp]roxy": (
        "the ProxyCommand or ProxyJump has failed",
        "run that command of {configuration} by itself for {instance}, and see what it says "
        "(open-tunnel of EC2 Instance Connect needs AWS CLI 2 and ec2-instance-connect:OpenTunnel)",
    ),
    r"Broken pipe|closed by|Timeout, server": (
        "the connection to it broke off",
        "run this again; if it stays, read what the sshd of {instance} has to say of it",
    ),
}


def trouble(instance_id: str, end: Ended, configuration: str) -> Silence:
    """Why a run of ssh that did not end well did not, in words, and what to do."""
    said = " ".join(end.errors[-400:].split()) or "nothing"
    if end.cut:
        reason = f"ssh was {end.cut}; it said: {said}"
        remedy = f"see why it hangs: run `ssh {instance_id} true` with {configuration}"
        return Silence(reason, remedy)
    if end.code == FAILED:
        for pattern, (reason, remedy) in TROUBLES.items():
            if re.search(pattern, end.errors):
                named = remedy.format(instance=instance_id, configuration=configuration)
                return Silence(f"{reason}; ssh said: {said}", named)
        return Silence(
            f"ssh has failed and said: {said}",
            f"run `ssh -v {instance_id} true` with {configuration}, and see what it says",
        )
    return Silence(
        f"the script ended there with {end.code} and said: {said}",
        "see that there is room in its temporary folder, and a POSIX shell; then run this again",
    )
