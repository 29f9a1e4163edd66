"""Each symptom, alone and with each other one, is named by the doctor; healthy accounts are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import Result

import rehearsal
from private_s3.doctor.symptoms import SYMPTOMS
from tests.support import confusion_figure
from tests.support.confusion import (
    ALONE,
    BY_TEXT,
    CASES,
    HEALTHY,
    HIDDEN,
    NUMBERED,
    ORDER,
    PAIRS,
    Case,
    Outcome,
    Ward,
)
from tests.support.healthy import ACCOUNTS
from tests.support.sampling import sampled
from tests.support.world import World, enter


@pytest.fixture(scope="module")
def ward(shared: rehearsal.Account, tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """The shared account with the path of app-1 open, and a doctor."""
    return Ward(shared, tmp_path_factory.mktemp("changes"))


@pytest.fixture
def reset(ward: Ward) -> Iterator[None]:
    """For a test that does not put back what it changes."""
    yield
    ward.reset()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The healthy accounts and the symptoms alone are few enough to be always there."""
    for name, cases in {"healthy": HEALTHY, "alone": ALONE, "pair": PAIRS}.items():
        if name in metafunc.fixturenames:
            classes = Case.classes if name == "pair" else lambda case: [case]
            chosen = sampled(metafunc.config, f"diagnoses: {name}", cases, classes)
            metafunc.parametrize(name, chosen, ids=str)


# -- what was planted, and what was named ---------------------------------------------------------


def measured(ward: Ward, case: Case) -> Outcome:
    """What is named, and with it what holds of every diagnosis."""
    found = ward.outcome(case)
    assert len({*found.named}) == len(found.named)
    assert [call for call in found.calls if not call.startswith(("Describe", "Get", "List"))] == []
    assert found.calls.total() <= 28  # whatever is wrong, about as often
    return found


@pytest.mark.usefixtures("reset")
def test_in_a_healthy_account_nothing_is_named(ward: Ward, healthy: Case) -> None:
    found = measured(ward, healthy)
    assert found.named == ()
    assert found.calls.total() >= 15


def test_a_symptom_alone_is_named_and_nothing_else(ward: Ward, alone: Case) -> None:
    found = measured(ward, alone)
    assert found.named == alone.planted
    if alone.planted[0] in BY_TEXT:
        assert found.text.strip()
    # What stands in capitals is for the operator alone to know; all else are ids of the account.
    words = {*re.findall(r"\b[A-Z][A-Z_]{3,}\b", found.fix)}
    assert words <= {"KEY", "NUMBER", "PARAMETERS", "POLICY", "RANGE", "REGIONAL"}, found.fix
    assert found.fix and "{}" not in found.fix


def test_of_two_the_first_in_order_is_named_first_and_the_other_too(ward: Ward, pair: Case) -> None:
    found = measured(ward, pair)
    assert found.named[:1] == pair.visible[:1]
    assert {*found.named} == {*pair.visible}


def test_each_symptom_is_planted_alone_and_with_each_other_one() -> None:
    assert {case.planted[0] for case in ALONE} == {*NUMBERED} == {*ORDER}
    assert {case.planted[0] for case in ALONE if not case.with_text} == {*ORDER} - {*BY_TEXT}
    assert {case.planted for case in PAIRS} == {*combinations(ORDER, 2)}
    hidden = {frozenset(case.planted) for case in PAIRS if case.hidden}
    assert hidden == {frozenset(pair) for pair in HIDDEN} and all(HIDDEN.values())


def test_the_picture_shows_that_every_diagnosis_is_right() -> None:
    """Whether each is right is tested above."""
    assert confusion_figure.read() == confusion_figure.figures((c, c.visible) for c in CASES)


def test_the_picture_would_show_a_wrong_diagnosis() -> None:
    wrong = [(case, case.planted[::-1]) for case in PAIRS]
    assert confusion_figure.figures(wrong)["right"] < len(PAIRS) / 10


def test_the_account_has_seen_no_write_of_the_doctor(ward: Ward) -> None:
    before = len(ward.account.calls())
    for number in (1, 13, 16, 20):
        with ward.planted(number):
            ward.diagnose('Connect timeout on endpoint URL: "https://s3.amazonaws.com/"')
    by_operator = [one for one in ward.account.calls()[before:] if one["who"] == "operator"]
    assert len(by_operator) > 60
    assert [one["operation"] for one in by_operator if one["write"]] == []


# -- readings that are refused --------------------------------------------------------------------

READINGS = {
    "DescribeInstances": "the instances",
    "GetBucketLocation": "the bucket's Region",
    "GetBucketPolicy": "the bucket policy",
    "GetPublicAccessBlock": "Block Public Access",
    "GetBucketEncryption": "the encryption of the bucket",
    "GetBucketReplication": "the replication",
    "DescribePrefixLists": "the network",
    "DescribeSubnets": "the network",
    "DescribeRouteTables": "the network",
    "DescribeVpcEndpoints": "the network",
    "DescribeVpcAttribute": "DNS attributes",
    "DescribeSecurityGroups": "security groups",
    "DescribeNetworkAcls": "network ACLs",
    "GetAccountAuthorizationDetails": "roles and users",
    "DescribeInstanceInformation": "what SSM manages",
}
ON_EC2 = [one for one in READINGS if one.startswith("Describe") and "Information" not in one]


@pytest.fixture
def refused(ward: Ward) -> Iterator[None]:
    yield
    ward.account.unplant()


def refuse(ward: Ward, operation: str) -> None:
    """AWS refuses it to the operator from now on."""
    code = "UnauthorizedOperation" if operation in ON_EC2 else "AccessDenied"
    about = {"message": "Planted.", "status": 403, "who": "operator"}
    ward.account.plant(operation, code=code, times=0, **about)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("operation", READINGS)
def test_a_refused_reading_is_named_and_ends_nothing(ward: Ward, operation: str) -> None:
    refuse(ward, operation)
    found = ward.diagnose()
    assert found.findings == []
    unread = [check.name for check in found.unread]
    what = READINGS[operation]
    assert f"{what} can be read" in unread
    assert all(check.state == "UNCERTAIN" for check in found.unread)
    assert f"Could not read {what}: AWS answered" in found.sentence()
    if what in ("the instances", "the network"):
        assert not found.hops
    else:
        assert {hop.verdict for hop in found.hops} <= {"open", "uncertain"}


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("operation", "planted"),
    [("DescribeSecurityGroups", 1), ("GetBucketPolicy", 3), ("DescribeVpcAttribute", 13)],
)
def test_what_can_still_be_seen_is_named(ward: Ward, operation: str, planted: int) -> None:
    refuse(ward, operation)
    with ward.planted(planted):
        assert [finding.symptom for finding in ward.diagnose().findings] == [planted]


def test_s3_tells_the_region_of_a_bucket_also_to_whom_it_refuses(ward: Ward) -> None:
    with ward.planted(12):
        found = ward.diagnose()
    (region,) = [hop for hop in found.hops if hop.hop == "Region"]
    assert region.verdict == "open" and "the bucket policy can be read" in str(found.unread)


@pytest.mark.usefixtures("refused")
def test_where_the_account_shows_nothing_the_text_says_what_it_can(ward: Ward) -> None:
    refuse(ward, "DescribeInstances")
    text = f'Connect timeout on endpoint URL: "https://b.s3.{ward.account.region}.amazonaws.com/"'
    found = ward.diagnose(text)
    assert [finding.symptom for finding in found.findings] == [1, 2, 3, 7, 5]
    assert found.sentence().startswith("Most likely: no route to S3 (symptom 1).")


# -- what is no finding, though it looks like one --------------------------------------------------


@pytest.mark.parametrize("number", [4, 15, 16, 20])
def test_a_text_alone_makes_no_finding_where_the_account_speaks_against_it(
    ward: Ward, number: int
) -> None:
    region = ward.account.region
    text = {
        4: f'Connect timeout on endpoint URL: "https://b.s3.{region}.amazonaws.com/"',
        15: f"Status code: 403 for https://al2023-repos-{region}-de612dc2.s3.amazonaws.com/x",
        16: "InvalidInstanceId: Instances [[i-1]] not in a valid state for account 1",
        20: "User: arn is not authorized to perform: kms:Decrypt on resource: arn",
    }[number]
    found = ward.diagnose(text)
    assert found.findings == [] and "Yet the text says" in found.sentence()


@pytest.mark.usefixtures("reset")
def test_behind_the_first_blocker_nothing_is_found_that_is_not_there(ward: Ward) -> None:
    """The policy names the right endpoint, though no route leads to it now."""
    changes = ACCOUNTS["restrict_to endpoint"](ward)
    with ward.planted(1):
        assert [one.symptom for one in ward.diagnose(**changes).findings] == [1]


def test_services_that_are_not_to_keep_their_access_are_not_missed(ward: Ward) -> None:
    with ward.planted(24):
        assert ward.diagnose(allow_services=False).findings == []


@pytest.mark.usefixtures("reset")
def test_a_role_without_any_policy_allows_nothing(ward: Ward) -> None:
    iam, role = ward.account.client("iam"), "app-instance"
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    found = ward.diagnose().findings
    assert [one.symptom for one in found] == [18, 16]
    assert "no policy of the role app-instance allows s3:ListBucket" in found[0].evidence


# -- more than one instance -----------------------------------------------------------------------


def test_one_cause_for_two_instances_is_one_finding_that_names_both(ward: Ward) -> None:
    ids = [ward.account.ids[name] for name in ("app-1", "neighbour-1")]
    with ward.planted(1):
        (found,) = ward.diagnose(instance_ids=ids).findings
    assert found.symptom == 1 and found.instance == ", ".join(sorted(ids))


def test_an_instance_that_is_shut_out_alone_is_named_alone(ward: Ward) -> None:
    """The main table of sibling-1 is on no endpoint."""
    app, sibling = (ward.account.ids[name] for name in ("app-1", "sibling-1"))
    (found,) = ward.diagnose(instance_ids=[app, sibling]).findings
    assert (found.symptom, found.instance) == (1, sibling)
    assert ward.account.ids["main"] in found.fix


# -- the command line -----------------------------------------------------------------------------


@pytest.fixture
def world(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return enter(ward.account, tmp_path, monkeypatch)


def doctor(world: World, *arguments: str) -> Result:
    return world.cli("doctor", *arguments, "-f", "params/rehearsal.yaml")


def test_the_command_shows_the_first_blocker_with_its_evidence_and_fix(
    world: World, ward: Ward
) -> None:
    with ward.planted(3, 1):
        done = doctor(world)
    assert done.exit_code == 1
    first, seen, mend, then, *_ = done.output.splitlines()
    assert first == "First blocker: no route to S3 (symptom 1). One more follows."
    assert seen.startswith("  Seen: ") and world.id("private-a") in seen
    assert mend.startswith("  Fix:  private-s3 plan -f params/rehearsal.yaml -p changes_dir=")
    assert then == "Then: the network ACL stops S3 (symptom 3)."


def test_the_command_says_that_nothing_was_found(world: World) -> None:
    done = doctor(world)
    assert done.exit_code == 0
    assert done.output.startswith("Nothing was found that keeps the instances from the bucket.")
    assert "Looked at: the way of " in done.output


def test_the_command_takes_an_instance_and_gives_it_on_to_the_fix(world: World) -> None:
    done = doctor(world, world.id("sibling-1"))
    assert done.exit_code == 1
    assert f"-p 'instance_ids=[{world.id('sibling-1')}]'" in done.output


def test_a_text_against_which_the_account_is_sound_leads_to_the_instance(world: World) -> None:
    text = f'Connect timeout on endpoint URL: "https://b.s3.{world.account.region}.amazonaws.com/"'
    done = doctor(world, "--error", text)
    assert done.exit_code == 0
    assert f"Yet the text says: {text}" in done.output
    assert "its resolver, a proxy" in done.output and "Step 50 asks" in done.output


def test_a_wrong_instance_or_bucket_is_bad_input(world: World) -> None:
    for arguments in (["i-xyz"], ["i-0123456789abcdef0"], ["-p", "bucket=nobody-has-this"]):
        done = doctor(world, *arguments)
        assert done.exit_code == 2, done.output


def test_without_credentials_a_text_is_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    before = len(world.account.calls())
    assert doctor(world).exit_code == 4
    done = doctor(world, "--error", "An error occurred (RouteAlreadyExists) when calling")
    assert done.exit_code == 1
    assert "No credentials" in done.stderr and "by the text alone" in done.stderr
    assert done.stdout.startswith(f"Most likely: {SYMPTOMS[8].title} (symptom 8).")
    assert len(world.account.calls()) == before


def test_the_notebook_keeps_what_was_found_and_does_not_fail(world: World, ward: Ward) -> None:
    with ward.planted(13):
        step = world.notebook("70_diagnose", error_text="nothing that is known")
    assert step.error is None and step.aws_calls
    facts = (world.folder / "rehearsal/facts/plan/70_diagnose.json").read_text()
    assert '"symptom": 13' in facts and "OnlyOurEndpoint" in facts
