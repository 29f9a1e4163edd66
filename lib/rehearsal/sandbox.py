"""Turns this process into a command on an instance: its own files, processes and user.

Run as a program in a new process namespace, so that the end of the command ends all it started.
Arguments: what to set up, as JSON, then the command.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY = 65534

# Nothing that a command needs is ever below it, so it can be covered by the new root.
ROOT = Path("/sys")
SYSTEM = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"]
# What programs need of /etc; the rest, as the operator's own settings, stays out of sight.
SETTINGS = ["alternatives", "ca-certificates", "crypto-policies", "localtime", "mime.types"]
SETTINGS += ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "pki", "protocols", "services", "ssl"]
DEVICES = ["null", "zero", "full", "random", "urandom"]


_libc = ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: int | bytes | ctypes.Array[ctypes.c_uint64] | None) -> None:
    """Calls a function of the C library that Python 3.11 does not offer; OSError when it fails."""
    as_long = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc, function)(*as_long) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def map_user(inside: int, user: int, group: int) -> None:
    """Says which user of the machine is `inside` in the user namespace just entered."""
    identities = {
        "setgroups": "deny",
        "uid_map": f"{inside} {user} 1",
        "gid_map": f"{inside} {group} 1",
    }
    for name, text in identities.items():
        Path(f"/proc/self/{name}").write_text(text)


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    texts = [text.encode() or None for text in (source, str(target), kind)]
    call("mount", *texts, flags, data.encode() or None)


def show(path: Path) -> None:
    """Makes a file or folder of this machine visible in the new root, read-only."""
    target = ROOT / path.relative_to("/")
    if not os.path.lexists(path) or os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(path), target, "", MS_BIND | MS_REC)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    call("mount_setattr", AT_FDCWD, bytes(target), AT_RECURSIVE, attributes, 32)


def new_root(visible: list[str], files: dict[str, str], private: dict[str, str]) -> None:
    """Leaves only the system, what is visible and these files; nothing of the operator's.

    The `private` ones are of whom the command runs as, and of nobody else.
    """
    os.umask(0o022)
    mount("", Path("/"), "", MS_REC | MS_PRIVATE)  # nothing done here reaches the machine
    mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=128m,mode=755")
    system = [f"/{name}" for name in SYSTEM]
    settings = [f"/etc/{name}" for name in SETTINGS]
    devices = [f"/dev/{name}" for name in DEVICES]
    for path in [*system, *settings, *devices, *sorted(visible)]:
        show(Path(path))
    for name, mode in {"proc": 0o555, "sys": 0o555, "tmp": 0o1777, "home": 0o1777}.items():
        (ROOT / name).mkdir(exist_ok=True)  # something visible may lie in it
        (ROOT / name).chmod(mode)
    for name, text in {**files, **private}.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).touch(0o600 if name in private else 0o644)
        (ROOT / name).write_text(text)
    for name in private:
        with suppress(OSError):  # a lab without root has only one user, who has it already
            os.chown(ROOT / name, NOBODY, NOBODY)
    (ROOT / "dev/fd").symlink_to("/proc/self/fd")
    mount("proc", ROOT / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(ROOT)
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/home")


def drop_privileges() -> None:
    """Goes on as nobody; a lab without root has only one user, which is given that number."""
    user, group = os.getuid(), os.getgid()
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    except OSError:
        call("unshare", CLONE_NEWUSER)
        map_user(NOBODY, user, group)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def end_with_parent(errors: int) -> None:
    """Lets this process end when its parent does; at once if that has ended meanwhile."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = select.poll()  # whose number is not to be seen from a new process namespace
    parent.register(errors, 0)
    if any(event & select.POLLERR for _, event in parent.poll(0)):  # nobody can read there
        os._exit(1)


def main(settings: str, *command: str) -> None:
    """Does what the module says; a failure goes to the pipe that was handed down for it."""
    wanted = json.loads(settings)
    os.set_inheritable(wanted["errors"], False)
    try:
        call("unshare", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
        socket.sethostname(wanted["hostname"])
        private = {}
        if "private" in wanted:  # what is in an argument, others could see
            with os.fdopen(wanted["private"]) as pipe:
                private = json.load(pipe)
        new_root(wanted["visible"], wanted["files"], private)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        drop_privileges()
        end_with_parent(wanted["errors"])  # after the change of user, which would undo it
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, a shell must not
        os.execvp(command[0], command)
    except BaseException:
        os.write(wanted["errors"], traceback.format_exc().encode())
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
