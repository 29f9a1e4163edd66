"""A small change folder made by hand, for the tests of its report; no notebook is run for it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from private_s3.approval import keep
from private_s3.plan import NEW_ENDPOINT, Change, Plan

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/operator/ada"
INSTANCE = "i-0123456789abcdef0"
TABLE = "route-table/rtb-0123456789abcdef0"
_KEPT = {"Sid": "Kept", "Effect": "Allow", "Principal": "*", "Action": "s3:GetKept"}
_OLD = {"Sid": "Old", "Effect": "Allow", "Principal": "*", "Action": "s3:GetOld"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def plan(text: str = "", *, undo: bool = False) -> Plan:
    deny = {
        "Sid": "PrivateS3DenyOutsideEndpoint" + text,
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject*", "s3:PutObject*"],
        "Condition": {"StringNotEquals": {"aws:SourceVpce": NEW_ENDPOINT}},
    }
    sides = [
        (TABLE, "S3 route", None, NEW_ENDPOINT),
        ("bucket/data", "policy", policy(_KEPT, _OLD), policy(_KEPT, deny)),
    ]
    changes = sorted(Change(r, f, *((b, a)[:: -1 if undo else 1])) for r, f, b, a in sides)
    return Plan("change-1", ACCOUNT, REGION, tuple(changes), undo)


PLAN, UNDO = plan(), plan(undo=True)


def png() -> str:
    """One white point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(b"\x00\xff")) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def notebook(path: Path, outputs: list[dict[str, Any]], prose: str = "# Title") -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": prose},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": ["x = 1\n", "x"],
            "outputs": outputs,
        },
    ]
    about = {"start_time": "2026-11-24T10:00:00+00:00", "end_time": "2026-11-24T10:00:05+00:00"}
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"cells": cells, "metadata": {"papermill": about}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(made))


def facts(folder: Path, pass_name: str, step: str, **found: Any) -> None:
    minute = f"{4 if pass_name == 'apply' else 0}{int(step[0])}"
    run = {
        "started": f"2026-11-24T10:{minute}:00.000+00:00",
        "ended": f"2026-11-24T10:{minute}:30.000+00:00",
        "account": ACCOUNT,
        "caller": CALLER,
        "region": REGION,
        "versions": {"python": "3.11.7"},
        "parameters": {
            "bucket": "data",
            "change_id": "change-1",
            "expected_account": ACCOUNT,
            "instance_name": "app-1",
            "region": REGION,
            "ticket": "T-1",
            **found.pop("parameters", {}),
        },
    }
    path = folder / "facts" / pass_name / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, "checks": [], **found}))


def planned(folder: Path, text: str = "", alt: str = "before, after") -> Path:
    folder.mkdir(parents=True)
    made = plan(text)
    instance = {f"instance/{INSTANCE}": {"name": "app-1" + text}}
    keep(folder, made, {"snapshot": {TABLE: {"route 10.0.0.0/16": "local active"}, **instance}})
    _steps(folder, "plan", text, alt)
    _journal(folder, "planned", "10:00:00", step="20_x", plan=made.digest, caller=CALLER, count=2)
    return folder


def applied(folder: Path, text: str = "", alt: str = "before, after") -> Path:
    """A change that was planned, approved and applied; `text` is what others have put in."""
    digest = plan(text).digest
    planned(folder, text, alt)
    _journal(folder, "approved", "10:01:00", plan=digest, by="ada" + text, ticket="T-1")
    about = {"step": "40_apply_bucket_policy", "plan": digest, "caller": CALLER}
    changes = [["bucket/data", "policy"]]
    _journal(folder, "intent", "10:42:00", operation="Put", request={}, changes=changes, **about)
    outcome = {"intent": 3, "operation": "Put", "request_id": "request-1", "values": {}}
    _journal(folder, "outcome", "10:42:01", **outcome)
    _journal(folder, "complete", "10:42:02", left="aaaaaaaaaaaa", **about)
    (folder / "left").mkdir()
    routes = {"route 10.0.0.0/16": "local active", "route pl-01234567": "vpce-01234567 active"}
    (folder / "left/aaaaaaaaaaaa.json").write_text(json.dumps({"snapshot": {TABLE: routes}}))
    _steps(folder, "apply", text, alt)
    return folder


def undone(folder: Path) -> None:
    keep(folder, UNDO, {"snapshot": {TABLE: {"route pl-01234567": "vpce-01234567 active"}}})
    about = {"step": "90_roll_back", "plan": UNDO.digest, "caller": CALLER}
    _journal(folder, "complete", "10:50:00", left="bbbbbbbbbbbb", **about)


def _steps(folder: Path, pass_name: str, text: str, alt: str) -> None:
    """The facts of two steps, and two notebooks with pictures, tables and texts."""
    cell = {"state": "allowed", "reason": "Allow by it" + text}
    cells = dict.fromkeys(("list", "read", "write", "delete", "administer"), cell)
    before = {**cells, "list": {"state": "no way", "reason": "no route"}}
    who = f"app-1 {INSTANCE}"
    row = {"who": who, "where": "inside", "where_before": "", "before": before, "after": cells}
    checks = [{"name": "fine" + text, "state": "PASS", "detail": text, "remedy": ""}]
    calls = {"PutBucketPolicy": 1, "GetBucketPolicy": 2}
    step = "40_apply_bucket_policy"
    facts(folder, pass_name, step, access=[row], checks=checks, aws_calls=calls)
    seen = ("timeout", "", 5) if pass_name == "plan" else ("succeeded", "keys: 3" + text, 0)
    outcome = dict(zip(("outcome", "detail", "seconds"), seen, strict=True))
    compared = [
        {
            "who": who,
            "where": "inside",
            "request": request,
            "predicted": cell,
            "observed": {"state": state, "answer": "answered" + text},
        }
        for request, state in (("list", "allowed"), ("read", "denied"))
    ]
    observations = [{"instance_id": INSTANCE, "probe": "list", **outcome}]
    step = "50_check_from_instance"
    facts(folder, pass_name, step, observations=observations, compared=compared)
    picture = {
        "output_type": "display_data",
        "data": {"image/png": png(), "text/plain": "<Image>"},
        "metadata": {"image/png": {"alt": alt, "width": 300}},
    }
    said = {"output_type": "stream", "name": "stdout", "text": ["said " + text]}
    notebook(folder / pass_name / "30_inspect_route_diff.ipynb", [picture, said], "# T " + text)
    table = "<table><tbody><tr><td>a</td></tr></tbody></table>"
    shown = {"output_type": "execute_result", "data": {"text/html": table}, "metadata": {}}
    notebook(folder / pass_name / "20_create_gateway_endpoint.ipynb", [shown, said])


def _journal(folder: Path, event: str, at: str, **details: Any) -> None:
    """A line at a time of ours; only the readers of its chain would mind."""
    lines = folder / "journal.jsonl"
    number = len(lines.read_text().splitlines()) + 1 if lines.exists() else 1
    line = {"event": event, "number": number, "time": f"2026-11-24T{at}.000+00:00", **details}
    with lines.open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
