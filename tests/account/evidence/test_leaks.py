"""Nothing that must not leave gets into a change folder, wherever it was planted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from private_s3.evidence.report import browser
from private_s3.evidence.verify import ok, verify
from tests.support.world import World

BUCKET = "rehearsal-private-data"
MARKUP, TURNED = "<script>alert('planted')</script>", "\u202e"
CONTROL = "\x1b]0;planted\x07"  # only in names of objects: what AWS writes as XML has none
# By place: what is planted there. Each has its own mark, so that a find tells where it came from.
ENVIRONMENT = {
    "GITHUB_TOKEN": "planted-environment-token",
    "DB_PASSWORD": "planted-environment-password",
    "SOME_API_KEY": "planted-environment-key",
    "HOSTNAME": "planted-host-7",
}
TAG_KEY = "AKIA" + "QXTAGPLANTED0001"
TAG_TOKEN = "IQoJb3JpZ2lu" + "TagPlanted" * 5
OBJECT_URL = "https://x.s3.amazonaws.com/k?X-Amz-Credential=c&X-Amz-Signature=objectplanted"
STDERR_KEY = "ASIA" + "QXSTDERRPLANTED1"
STDERR_SECRET = "stderr/K7MDENG/bPxRfiCYplanted"
ANSWER_TOKEN = "FwoGZXIv" + "AnswerPlanted" * 4
ANSWER_KEY = "-----BEGIN PRIVATE KEY-----\nanswerplanted\n-----END PRIVATE KEY-----"
POLICY_KEY = "AKIA" + "QXPOLICYPLANTED1"


@pytest.fixture
def planted(
    world: World, impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """An account and a machine with secrets, markup and control characters wherever they can be."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # The change folder lies in the home directory, as it does for most people.
    monkeypatch.setenv("HOME", str(tmp_path))
    ec2, s3 = world.client("ec2"), world.client("s3")
    tags = {"neighbour-1": f"{TAG_KEY} {MARKUP}", "app-a": f"{TAG_TOKEN} {tmp_path} {TURNED}"}
    for name, value in tags.items():
        ec2.create_tags(Resources=[world.id(name)], Tags=[{"Key": "Name", "Value": value}])
    for key in (f"a/{OBJECT_URL}", f"a/{MARKUP}", f"a/{CONTROL}"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    statement = {
        "Sid": "Markup",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Condition": {"StringEquals": {"aws:UserAgent": MARKUP}},
    }
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"].append(statement)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    yield world


def everything(world: World) -> dict[str, bytes]:
    """The bytes of every file that a run has left, by path."""
    return {
        path.relative_to(world.folder).as_posix(): path.read_bytes()
        for path in world.folder.rglob("*")
        if path.is_file()
    }


def values(world: World, home: Path) -> list[str]:
    """Everything that may be in no file: what was planted, and what the run itself was given."""
    given = world.account.environment()
    own = [given[name] for name in given if name.startswith("AWS_") and "CA_BUNDLE" not in name]
    keys = [value for value in own if len(value) > 15 and "://" not in value]
    planted = [TAG_KEY, TAG_TOKEN, OBJECT_URL, STDERR_KEY, STDERR_SECRET, ANSWER_TOKEN, POLICY_KEY]
    return [*ENVIRONMENT.values(), *planted, *keys, "answerplanted", str(home)]


def finds(content: bytes, value: str) -> bool:
    """Whether a value is there, as it is or as JSON, HTML or an address would write it."""
    forms = {value, json.dumps(value)[1:-1], quote(value), quote(value, safe="")}
    forms.add(value.replace("&", "&amp;"))
    return any(form.encode() in content for form in forms)


def test_nothing_planted_leaves_with_the_evidence(
    planted: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, options = planted, ("-f", "params/rehearsal.yaml", "-p", "settle_seconds=0")
    found = browser.find
    account: Any = world.account
    account.plant(
        "DescribeVpcEndpoints",
        code="UnauthorizedOperation",
        message=f"{ANSWER_TOKEN} {ANSWER_KEY} {tmp_path}/x planted-host-7 {TURNED}",
        status=403,
    )
    # Only the last seal is printed: each print takes the place of the one before.
    monkeypatch.setattr(browser, "find", lambda: None)
    shown = [world.cli("plan", *options)]
    assert shown[0].exit_code == 4, shown[0].output
    shown.append(world.cli("plan", *options, "--digest-to", str(tmp_path / "digest")))
    assert shown[-1].exit_code == 0, shown[-1].output
    digest = (tmp_path / "digest").read_text().strip()
    shown.append(world.cli("approve", digest, "--by", "somebody", *options))
    shown.append(world.cli("apply", digest, *options))
    account.plant(
        "ListObjectsV2",
        code="InvalidRequest",
        message=f"{STDERR_KEY} {OBJECT_URL} secret_access_key={STDERR_SECRET} {TURNED} {MARKUP}",
        status=400,
        who=f"arn:aws:sts::{account.account_id}:assumed-role/app-instance/{world.id('app-1')}",
    )
    runbook = tmp_path / "check.yaml"
    runbook.write_text("title: Check\nnotebooks: [50_check_from_instance]\n")
    monkeypatch.setattr(browser, "find", found)
    shown.append(world.cli("plan", *options, "--runbook", str(runbook)))
    shown.append(world.cli("status", *options))
    assert [one.exit_code for one in shown[2:]] == [0, 0, 0, 0], shown[3].output

    kept = everything(world)
    assert {"rehearsal/report.html", "rehearsal/plan/50_check_from_instance.html"} <= {*kept}
    texts = {**kept, "the terminal": "".join(one.output for one in shown).encode()}
    leaks = [
        (name, value)
        for name, content in texts.items()
        for value in values(world, tmp_path)
        if finds(content, value) and (name, value) != ("the terminal", str(tmp_path))
    ]
    assert leaks == []
    printed = (".pdf", ".png")
    acting = [
        name
        for name, content in texts.items()
        if not name.endswith(printed) and (b"\x1b" in content or TURNED.encode() in content)
    ]
    assert acting == []
    pages = [name for name, content in kept.items() if b"<script" in content]
    assert [name for name in pages if name.endswith(".html")] == []
    # It was there to be found: what stands in for it, and what may stay, are.
    text = b"".join(texts.values()).decode(errors="replace")
    for mark in ("access key", "session token", "signed URL", "secret", "private key"):
        assert f"[withheld: {mark}]" in text, mark
    assert "&lt;script&gt;" in text
    assert ok(verify(world.folder / "rehearsal"))


def test_a_policy_that_holds_a_secret_is_not_kept(planted: World, unprinted: None) -> None:
    s3 = planted.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"][-1]["Condition"] = {"StringEquals": {"aws:Referer": POLICY_KEY}}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    shown = planted.cli("plan", "-f", "params/rehearsal.yaml")
    assert shown.exit_code == 1
    assert "access key" in shown.output
    texts = {**everything(planted), "the terminal": shown.output.encode()}
    assert [name for name, content in texts.items() if finds(content, POLICY_KEY)] == []
    assert planted.writes() == []
