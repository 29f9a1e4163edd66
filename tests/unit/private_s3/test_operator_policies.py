"""The policies for operators, filled in for a change: ready for IAM, and as narrow as is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from iam_verdict import Policies, Principal, Request, decide, parse
from private_s3 import approval, operator_policies
from private_s3.cli import main
from private_s3.errors import BadInput
from private_s3.journal import Journal
from private_s3.operator_policies import NAMES, SIZE_LIMIT, fill, open_ends, size
from private_s3.parameters import Parameters
from private_s3.plan import Plan
from rehearsal import shipped
from tests.support.readings import ACCOUNT, REGION, parameters

ROLE = f"arn:aws:iam::{ACCOUNT}:role/break-glass"
VPC, INSTANCES = "vpc-0123456789abcdef0", ["i-0123456789abcdef0", "i-0123456789abcdef1"]
WORDS = re.compile(
    r"\b(REGION|ACCOUNT|BUCKET|VPC|ROUTE_TABLE|ENDPOINT|INSTANCE|BREAK_GLASS_ROLE)\b"
)
TAGGED = {"aws:ResourceTag/private-s3:change": "x"}


def given(tmp_path: Path, **changes: Any) -> Parameters:
    """The parameters of a change that was not planned yet, with all that narrows its policies."""
    values = {
        "changes_dir": str(tmp_path),
        "vpc_id": VPC,
        "instance_ids": INSTANCES,
        "break_glass_role": ROLE,
        "check_also": ["break-glass"],
    }
    return parameters(**{**values, **changes})


def statements(text: str) -> dict[str, Any]:
    return {one["Sid"]: one for one in json.loads(text)["Statement"]}


def plan(tmp_path: Path, *endpoints: str, vpc: str = VPC) -> None:
    """Lets the change be planned: what its maker saw is kept."""
    folder = tmp_path / "rehearsal"
    made = Plan("rehearsal", ACCOUNT, REGION, ())
    snapshot: dict[str, Any] = {
        f"instance/{INSTANCES[1]}": {"subnet": "subnet-1"},
        "subnet/subnet-1": {"route table": "rtb-1"},
        "subnet/subnet-2": {"route table": "rtb-2"},
        "route-table/rtb-1": {},
        "route-table/rtb-2": {},
        **{f"vpc-endpoint/{one}": {} for one in endpoints},
    }
    approval.keep(folder, made, {"vpc": vpc, "snapshot": snapshot})
    Journal(folder).append("planned", plan=made.digest)


def allowed(text: str, action: str, resource: str, **keys: str) -> bool:
    """Whether a policy lets its holder do something; `keys` are of the request."""
    holder = Principal("user", f"arn:aws:iam::{ACCOUNT}:user/ann", account=ACCOUNT)
    request = Request(holder, action, resource, ACCOUNT, keys)
    return decide(request, Policies(identity=[text])).allowed


def test_no_word_in_capitals_is_left(tmp_path: Path) -> None:
    for by in ("ssm", "ssh", "manual"):
        texts = fill(given(tmp_path, check_by=by))
        assert [*texts] == [*NAMES]
        for text in texts.values():
            assert not WORDS.findall(text)
            parse(text, names_principals=False)


def test_it_is_what_the_rehearsal_account_makes_of_the_same_files(tmp_path: Path) -> None:
    """Two readers of the same files, of which neither knows the other."""
    values = {
        "REGION": [REGION],
        "ACCOUNT": [ACCOUNT],
        "BUCKET": ["data"],
        "VPC": [VPC],
        "ROUTE_TABLE": ["*"],
        "ENDPOINT": ["*"],
        "INSTANCE": INSTANCES,
        "BREAK_GLASS_ROLE": [ROLE],
    }
    for name in ("read", "change"):
        made = json.loads(shipped.policy(name, values))
        assert json.loads(fill(given(tmp_path))[name]) == made
    made = statements(shipped.policy("check", values))
    for by in ("ssm", "ssh"):
        ours = statements(fill(given(tmp_path, check_by=by))["check"])
        assert ours.items() <= made.items()
        left = {sid for sid in made if not sid.startswith("CheckBy") or f"By{by.title()}" in sid}
        assert ours.keys() == left


@pytest.mark.parametrize(
    ("changes", "prefixes"),
    [
        ({}, {"CheckBySsm", "CheckAlsoBreakGlass"}),
        ({"check_also": []}, {"CheckBySsm"}),
        ({"check_by": "ssh"}, {"CheckBySsh", "CheckAlsoBreakGlass"}),
        ({"check_by": "manual"}, {"CheckAlsoBreakGlass"}),
        ({"check_by": "manual", "break_glass_role": ""}, set()),
        ({"check_by": "manual", "check_also": []}, set()),
    ],
)
def test_what_the_parameters_do_not_ask_for_is_left_out(
    changes: dict[str, Any], prefixes: set[str], tmp_path: Path
) -> None:
    texts = fill(given(tmp_path, **changes))
    assert ("check" in texts) == bool(prefixes)  # IAM takes no policy without a statement
    sids = statements(texts["check"]) if prefixes else {}
    assert {p for p in operator_policies.WANTED for sid in sids if sid.startswith(p)} == prefixes


def test_each_instance_has_an_arn_of_its_own(tmp_path: Path) -> None:
    own = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{one}" for one in INSTANCES]
    texts = fill(given(tmp_path))
    document = f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript"
    sent = statements(texts["check"])["CheckBySsmWhichIsRootOnTheInstances"]
    assert sent["Resource"] == [document, *own]
    for resource in (document, *own):
        assert allowed(texts["check"], "ssm:SendCommand", resource)
    for other in (f"{own[0][:-1]}2", document.replace("RunShellScript", "RunPowerShellScript")):
        assert not allowed(texts["check"], "ssm:SendCommand", other)


def test_one_instance_is_a_text_and_no_list_where_the_file_has_none(tmp_path: Path) -> None:
    texts = fill(given(tmp_path, check_by="ssh", instance_ids=INSTANCES[:1]))
    pushed = statements(texts["check"])["CheckBySshPushesAKeyForAMinute"]
    assert pushed["Resource"] == f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{INSTANCES[0]}"


def test_what_the_parameters_leave_open_the_last_plan_knows(tmp_path: Path) -> None:
    opened = given(tmp_path, vpc_id="", instance_ids=[])
    assert ":vpc/*" in fill(opened)["change"] and ":instance/*" in fill(opened)["check"]
    assert [one.partition(":")[0] for one in open_ends(opened)] == [
        "They are for every VPC of the Region",
        "change is for every route table and S3 endpoint of the Region",
        "check is for every instance of the Region",
    ]
    plan(tmp_path, vpc="vpc-0fedcba9876543210")
    texts = fill(opened)
    assert ":vpc/vpc-0fedcba9876543210" in texts["change"] and ":vpc/*" not in texts["change"]
    assert f":instance/{INSTANCES[1]}" in texts["check"] and ":instance/*" not in texts["check"]
    assert open_ends(opened) == []
    # The parameters count for more: somebody has written them down.
    assert f":vpc/{VPC}" in fill(given(tmp_path))["read"]
    assert f":instance/{INSTANCES[0]}" in fill(given(tmp_path))["check"]


@pytest.mark.parametrize("action", ["ec2:CreateVpcEndpoint", "ec2:ModifyVpcEndpoint"])
def test_after_a_plan_only_the_route_tables_of_the_instances_may_change(
    tmp_path: Path, action: str
) -> None:
    own = f"arn:aws:ec2:{REGION}:{ACCOUNT}:route-table"
    assert allowed(fill(given(tmp_path))["change"], action, f"{own}/rtb-2")
    plan(tmp_path)
    text = fill(given(tmp_path))["change"]
    assert allowed(text, action, f"{own}/rtb-1") and not allowed(text, action, f"{own}/rtb-2")


def test_an_endpoint_of_others_may_change_only_if_the_plan_has_seen_it(tmp_path: Path) -> None:
    own = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-endpoint"

    def may(endpoint: str, **keys: str) -> bool:
        text = fill(given(tmp_path))["change"]
        return allowed(text, "ec2:ModifyVpcEndpoint", f"{own}/{endpoint}", **keys)

    assert may("vpce-1") and may("vpce-2")
    plan(tmp_path)
    assert not may("vpce-1") and may("vpce-1", **TAGGED)
    assert "ChangeAnEndpointOfOthersThatIsToServeMore" not in fill(given(tmp_path))["change"]
    other = tmp_path / "other"
    other.mkdir()
    plan(other, "vpce-1")
    text = fill(given(other))["change"]
    assert allowed(text, "ec2:ModifyVpcEndpoint", f"{own}/vpce-1")
    assert not allowed(text, "ec2:ModifyVpcEndpoint", f"{own}/vpce-2")


def test_nobody_knows_the_neighbours_beforehand(tmp_path: Path) -> None:
    plan(tmp_path)
    asked = given(tmp_path, check_also=["neighbours"])
    assert ":instance/*" in fill(asked)["check"]
    (told,) = open_ends(asked)
    assert "check_also has neighbours" in told
    assert open_ends(given(tmp_path, check_also=["neighbours"], check_by="manual")) == []


def test_iam_counts_all_but_white_space() -> None:
    text = json.dumps({"a": ["b", "c d"]}, indent=8)
    assert size(text) == len('{"a":["b","cd"]}')


def test_each_policy_fits_into_a_managed_policy(tmp_path: Path) -> None:
    many = [f"i-{number:017x}" for number in range(50)]  # as many as one SendCommand takes
    longest = {"bucket": "b" * 63, "region": "ap-southeast-9", "instance_ids": many}
    for text in fill(given(tmp_path, **longest)).values():
        assert size(text) == len(json.dumps(json.loads(text), separators=(",", ":"))) <= SIZE_LIMIT


def test_a_policy_that_iam_would_not_take_is_refused(tmp_path: Path) -> None:
    many = [f"i-{number:017x}" for number in range(90)]
    with pytest.raises(BadInput) as raised:
        fill(given(tmp_path, instance_ids=many))
    assert "the policy check" in raised.value.attempted
    assert "IAM takes 6,144" in raised.value.answer and "instance_ids" in raised.value.remedy


def test_a_file_that_is_gone_or_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)  # a project without them
    with pytest.raises(BadInput, match=r"params/iam/read\.json"):
        fill(given(tmp_path))
    (tmp_path / "params/iam").mkdir(parents=True)
    (tmp_path / "params/iam/read.json").write_text("{oops")
    with pytest.raises(BadInput, match=r"params/iam/read\.json"):
        fill(given(tmp_path))


# -- the command ----------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["policies", "-f", "params/example.yaml", *arguments])


def test_the_command_shows_each_policy_with_its_size(tmp_path: Path) -> None:
    changes = ("-p", f"changes_dir={tmp_path}")
    done = run(*changes)
    assert done.exit_code == 0, done.output
    expected = fill(Parameters.load(Path("params/example.yaml"), {"changes_dir": str(tmp_path)}))
    for name, text in expected.items():
        assert f"{name}.json: {size(text):,} of 6,144 characters\n{text}" in done.output
    noticed = "Noticed: They are for every VPC"
    assert noticed not in done.output and noticed in run(*changes, "-p", "vpc_id=").output


def test_the_command_writes_files_that_are_ready_for_iam(tmp_path: Path) -> None:
    folder = tmp_path / "new/policies"
    done = run("-p", f"changes_dir={tmp_path}", "--to", str(folder))
    assert done.exit_code == 0, done.output
    assert "Statement" not in done.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "change.json",
        "check.json",
        "read.json",
    ]
    for path in folder.iterdir():
        parse(path.read_text(), names_principals=False)
    assert run("--to", str(folder / "read.json")).exit_code == 2
