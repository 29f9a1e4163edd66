"""The account's operator holds the policies that the project ships, wherever it is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal import Account, scenario, shipped
from tests import PROJECT
from tests.support.asking import code_of

WHO_HOLDS = {"operator": ["read", "change", "check"], "reader": ["read"]}


def policy(folder: Path, sid: str) -> None:
    """A project with a policy of this Sid."""
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::ONE/TWO"],
        "Condition": {"StringEquals": {"aws:RequestedRegion": "ONE"}},
    }
    (folder / "params/iam").mkdir(parents=True)
    (folder / "params/iam/read.json").write_text(json.dumps({"Statement": [statement]}))


def test_the_policies_are_those_of_the_project_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(tmp_path, "Other")
    inner = tmp_path / "notebooks"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert '"Other"' in shipped.policy("read", {})


def test_elsewhere_they_are_those_of_the_project_that_the_account_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (PROJECT / "params/iam/read.json").read_text("utf-8")
    assert json.loads(shipped.policy("read", {})) == json.loads(text)
    monkeypatch.setattr(shipped, "_FOLDER", Path("params/nowhere"))
    with pytest.raises(OSError, match="params/nowhere/") as raised:
        shipped.policy("read", {})
    assert str(raised.value).count("\n") == 2  # as the start of the account shows it


def test_of_several_values_each_has_a_text_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(tmp_path, "Own")
    monkeypatch.chdir(tmp_path)
    values = {"BUCKET": ["data"], "ONE": ["a"], "TWO": ["x", "y"]}
    (statement,) = json.loads(shipped.policy("read", values))["Statement"]
    resources = ["data", "a/x", "a/y"]
    assert statement["Resource"] == [f"arn:aws:s3:::{one}" for one in resources]
    assert statement["Condition"] == {"StringEquals": {"aws:RequestedRegion": "a"}}


def test_the_operator_and_the_reader_hold_them_and_no_word_is_left(shared: Account) -> None:
    iam, words = shared.client("iam"), {*scenario.read()["operators"], "REGION", "ACCOUNT"}
    for role, names in WHO_HOLDS.items():
        for name in names:
            held: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            sids = [one["Sid"] for one in held["Statement"]]
            text = (PROJECT / f"params/iam/{name}.json").read_text("utf-8")
            assert sids == [one["Sid"] for one in json.loads(text)["Statement"]]
            for one in held["Statement"]:
                said = json.dumps([one["Resource"], one.get("Condition")])
                assert not [word for word in (*words, "INSTANCE") if word in said]
    assert iam.list_role_policies(RoleName="reader")["PolicyNames"] == ["read"]


def test_who_may_only_read_may_not_write(shared: Account) -> None:
    s3, bucket = shared.client("s3", "reader"), {"Bucket": "rehearsal-private-data"}
    assert code_of(s3.get_bucket_policy, **bucket) == ""
    assert code_of(s3.delete_bucket_policy, **bucket) == "AccessDenied"
    assert code_of(s3.list_objects_v2, **bucket) == "AccessDenied"
