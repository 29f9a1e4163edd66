"""The parts of the doctor: what S3 refuses and why, what a text adds, and how it is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from private_s3.access import Situation
from private_s3.callers import Caller
from private_s3.cli import main
from private_s3.doctor import bystanders, symptoms, told
from private_s3.doctor.diagnosis import COLUMNS, Diagnosis, Finding, merged
from private_s3.doctor.error_text import read
from private_s3.doctor.path_findings import of as findings_of_path
from private_s3.doctor.refusals import NEEDED, Judgement, judge
from private_s3.doctor.symptoms import SYMPTOMS
from private_s3.identities import unread
from private_s3.path.walk import Hop
from private_s3.record import Check
from rehearsal.symptoms import SYMPTOMS as PLANTED
from tests.support import readings as worlds
from tests.support.readings import VPCE, bucket_policy, one, policy, situation, statement

OTHER = "vpce-0fedcba9876543210"
LISTING, READING, WRITING = NEEDED
ALLOWED = {"all": policy(statement("Allow"))}
UNLESS_OURS = {"StringNotEquals": {"aws:SourceVpce": VPCE}}
UNLESS_OTHER = {"StringNotEquals": {"aws:SourceVpce": OTHER}}
FROM_OFFICE = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
NOT_FROM_OFFICE = {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}

# -- the knowledge --------------------------------------------------------------------------------


def test_there_are_the_known_symptoms_in_their_order() -> None:
    assert list(SYMPTOMS) == list(range(1, 29))
    assert all(number == symptom.number for number, symptom in SYMPTOMS.items())
    assert len({symptom.name for symptom in SYMPTOMS.values()}) == 28


def test_what_can_be_planted_has_the_same_number_and_name() -> None:
    assert {s.number: s.name for s in PLANTED.values()}.items() <= {
        number: symptom.name for number, symptom in SYMPTOMS.items()
    }.items()


@pytest.mark.parametrize("number", SYMPTOMS)
def test_a_fix_is_filled_with_what_is_known_and_leaves_the_rest_in_capitals(number: int) -> None:
    places = re.findall(r"(?<!\{)\{(\w+)\}(?!\})", SYMPTOMS[number].fix)
    plain = symptoms.fix(number)
    assert all(place.upper() in plain for place in places) and "\n" not in plain
    filled = symptoms.fix(number, **{place: f"the-{place}" for place in places})
    assert all(f"the-{place}" in filled for place in places)
    assert not re.search(r"(?<!=\[)\{\w+\}", filled)


# -- what S3 refuses, and what decides ------------------------------------------------------------


def instance(**changes: Any) -> Caller:
    """The instance of the change, which comes through the endpoint."""
    return replace(one(worlds.people(), worlds.TARGET, ""), **changes)


def judged(
    text: str | None = None,
    *,
    policies: dict[str, str] | None = None,
    existing: tuple[str, ...] = (VPCE, OTHER),
    boundary: str | None = None,
    **changes: Any,
) -> Judgement:
    caller = instance(policies=ALLOWED if policies is None else policies, boundary=boundary)
    return judge(situation(text, **changes), caller, "reports/x", frozenset(existing))


def found(judgement: Judgement) -> list[tuple[int | None, str, str]]:
    return [(r.symptom, r.policy, r.statement) for r in judgement.refusals]


def deny(sid: str, condition: dict[str, Any] | None = None, action: Any = "s3:*") -> dict[str, Any]:
    return statement("Deny", action, Sid=sid, **({"Condition": condition} if condition else {}))


def test_what_is_allowed_has_nothing_in_its_way() -> None:
    assert judged() == Judgement({}, ())
    assert judged(worlds.FENCED) == Judgement({}, ())
    assert judged(bucket_policy(deny("Office", {**NOT_FROM_OFFICE, **UNLESS_OURS}))).refusals == {}


@pytest.mark.parametrize(
    ("condition", "existing", "symptom"),
    [
        (NOT_FROM_OFFICE, (VPCE,), 11),
        (UNLESS_OTHER, (VPCE, OTHER), 12),
        (UNLESS_OTHER, (VPCE,), 13),
        ({"StringNotEquals": {"aws:SourceVpc": "vpc-2"}}, (VPCE,), 12),
        ({**NOT_FROM_OFFICE, **UNLESS_OTHER}, (VPCE,), 13),
        ({"StringEquals": {"aws:SourceVpce": VPCE}}, (VPCE,), None),
        ({"ArnNotEquals": {"ec2:SourceInstanceArn": "arn:aws:ec2:::instance/i-1"}}, (VPCE,), None),
        (None, (VPCE,), None),
    ],
)
def test_the_key_of_the_condition_decides_which_symptom_a_deny_is(
    condition: dict[str, Any] | None, existing: tuple[str, ...], symptom: int | None
) -> None:
    judgement = judged(bucket_policy(deny("Fence", condition)), existing=existing)
    assert found(judgement) == [(symptom, "bucket policy", "Fence")]
    (actions,) = judgement.refusals.values()
    assert actions == [*NEEDED]


@pytest.mark.parametrize(
    ("condition", "existing", "symptom"),
    [
        (FROM_OFFICE, (VPCE,), 11),
        ({"StringEquals": {"aws:SourceVpce": OTHER}}, (VPCE, OTHER), 12),
        ({"StringEquals": {"aws:SourceVpce": OTHER}}, (VPCE,), 13),
    ],
)
@pytest.mark.parametrize("carrier", ["bucket policy", "own"])
def test_an_allow_that_no_longer_applies_is_the_same_symptom(
    carrier: str, condition: dict[str, Any], existing: tuple[str, ...], symptom: int
) -> None:
    allow = statement("Allow", Sid="Only", Condition=condition)
    text, own = (bucket_policy(allow), {}) if carrier != "own" else (None, {"own": policy(allow)})
    judgement = judged(text, policies=own, existing=existing)
    assert found(judgement) == [(symptom, carrier, "Only")]
    assert [refusal.effect for refusal in judgement.refusals] == ["Allow"]


def test_a_role_that_allows_nothing_is_named_with_what_it_allows_instead() -> None:
    swapped = policy(
        statement("Allow", "s3:ListBucket", Resource="arn:aws:s3:::data/*"),
        statement("Allow", ["s3:GetObject", "s3:PutObject"], Resource="arn:aws:s3:::data"),
    )
    judgement = judged(policies={"use-it": swapped})
    assert found(judgement) == [(18, "", "")] * 2
    listing, others = judgement.refusals
    assert listing.detail == "statement 1 of use-it allows it on arn:aws:s3:::data/*"
    assert others.detail == "statement 2 of use-it allows it on arn:aws:s3:::data"
    assert [*judgement.refusals.values()] == [[LISTING], [READING, WRITING]]


def test_a_deny_of_the_role_and_its_boundary_are_not_the_bucket_policy() -> None:
    own = {**ALLOWED, "no": policy(deny("NoData"))}
    assert found(judged(policies=own)) == [(18, "no", "NoData")]
    boundary = policy(statement("Allow", "ec2:*"))
    assert found(judged(boundary=boundary)) == [(None, "permissions boundary", "")]


def test_everything_that_is_in_the_way_is_named_and_not_only_what_decides() -> None:
    text = bucket_policy(
        deny("A", NOT_FROM_OFFICE), deny("B", UNLESS_OTHER), deny("C", None, "s3:PutObject")
    )
    judgement = judged(text, policies={})
    assert found(judgement) == [
        (11, "bucket policy", "A"),
        (12, "bucket policy", "B"),
        (18, "", ""),
        (None, "bucket policy", "C"),
    ]


def test_what_is_found_is_taken_away_and_nothing_else() -> None:
    text = bucket_policy(statement("Allow", Sid="Open"), deny("A", NOT_FROM_OFFICE))
    assert found(judged(text, policies={})) == [(11, "bucket policy", "A")]


def test_what_others_are_allowed_is_not_told_of_the_role() -> None:
    theirs = statement("Allow", Sid="Theirs", Principal={"AWS": worlds.role("ci-1")})
    (refusal,) = judged(policy(theirs), policies={}).refusals
    assert (refusal.symptom, refusal.detail) == (18, "")


def test_the_policy_of_the_endpoint_is_not_asked_here() -> None:
    narrow = {VPCE: bucket_policy(statement("Allow", Resource="arn:aws:s3:::others"))}
    assert judged(endpoints=narrow).refusals == {}


def test_what_nobody_could_read_is_a_doubt_and_no_finding() -> None:
    judgement = judged(policies={"unread": unread("the policies of app")})
    assert judgement == Judgement({}, ("the policies of app",))
    denied = judged(bucket_policy(deny("A", UNLESS_OTHER)), policies={"unread": unread("x")})
    assert found(denied) == [(12, "bucket policy", "A")] and denied.doubts == ("x",)
    broken = judged(policies={"own": '{"Statement": 1}'})
    assert not broken.refusals and "cannot be understood" in broken.doubts[0]


# -- bystanders -----------------------------------------------------------------------------------

DELIVERY = statement(
    "Allow",
    "s3:PutObject",
    Sid="Deliver",
    Principal={"Service": "logging.s3.amazonaws.com"},
    Resource="arn:aws:s3:::data/logs/*",
)
SPARED = {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}


def services(text: str, role: str = "") -> tuple[Situation, list[Caller]]:
    return situation(text), worlds.people(text, replicas=role).all()


def test_a_service_that_is_to_write_and_that_a_fence_denies_is_forgotten() -> None:
    text = bucket_policy(DELIVERY, deny("Fence", UNLESS_OURS))
    (one,) = bystanders.forgotten(*services(text))
    told = one.statement, one.service, one.action, one.wanted_by
    assert told == ("Fence", "logging.s3.amazonaws.com", "s3:PutObject", "Deliver")


@pytest.mark.parametrize(
    "content",
    [
        [deny("Fence", UNLESS_OURS)],  # no service has work here
        [DELIVERY, deny("Fence", {**UNLESS_OURS, **SPARED})],
        [DELIVERY, deny("NoDelete", None, "s3:DeleteObject")],
        [DELIVERY, deny("NothingNew", None, "s3:PutObject")],  # meant for services as well
        [DELIVERY, deny("Tls", {"Bool": {"aws:SecureTransport": "false"}})],
    ],
)
def test_no_service_is_forgotten_that_is_spared_or_has_no_work(content: list[Any]) -> None:
    assert bystanders.forgotten(*services(bucket_policy(*content))) == []


def test_the_role_that_replicates_is_denied_by_a_fence_too() -> None:
    role = worlds.role("ci-1")
    (one,) = bystanders.forgotten(*services(worlds.FENCED, role))
    assert (one.statement, one.wanted_by) == ("Fence", "the replication of the bucket")


@pytest.mark.parametrize(
    ("operator", "key", "idle"),
    [
        ("ForAnyValue:StringNotEquals", "aws:SourceVpce", True),
        ("ForAnyValue:ArnNotLike", "ec2:SourceInstanceArn", True),
        ("StringNotEquals", "aws:SourceVpce", False),
        ("ForAllValues:StringNotEquals", "aws:SourceVpce", False),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", False),
        ("ForAnyValue:StringEquals", "aws:SourceVpce", False),
    ],
)
def test_a_deny_is_idle_that_does_not_hold_without_its_key(
    operator: str, key: str, idle: bool
) -> None:
    text = bucket_policy(deny("Fence", {operator: {key: "x"}}))
    assert [(one.statement, one.operator) for one in bystanders.idle(text)] == (
        [("Fence", operator)] if idle else []
    )
    allow = statement("Allow", Condition={operator: {key: "x"}})
    assert bystanders.idle(bucket_policy(allow)) == []


# -- the path -------------------------------------------------------------------------------------


def hop(name: str, symptom: int | None = None, verdict: Any = "blocked", who: str = "i-1") -> Hop:
    return Hop(who, name, verdict, f"because of {name}", symptom)


def on_the_path(*hops: Hop, text: str = "") -> list[Finding]:
    known = {one.instance: {"region": "r", "instance": one.instance} for one in hops}
    seen: Any = type("Seen", (), {"bucket_region": "r", "callers": []})()
    network: Any = type("Network", (), {"endpoints": []})()
    return [*findings_of_path(seen, network, hops, known, read(text))]


def test_hops_are_found_in_their_order_whatever_the_order_of_the_instances() -> None:
    found = on_the_path(
        *(hop("security group", 2), hop("Region", 5)),
        *(hop("name resolution", 6, who="i-2"), hop("route table", 1, "open", "i-2")),
    )
    assert [(one.symptom, one.instance) for one in found] == [(6, "i-2"), (2, "i-1"), (5, "i-1")]


def test_one_cause_at_two_hops_is_one_finding() -> None:
    (found,) = on_the_path(hop("network ACL out", 3), hop("network ACL back", 3))
    assert found.evidence == (
        "network ACL out: because of network ACL out; network ACL back: because of network ACL back"
    )


@pytest.mark.parametrize("name", ["instance", "interface", "name resolution", "gateway endpoint"])
def test_a_blocked_hop_without_a_number_has_a_title_and_a_fix(name: str) -> None:
    known = {"i-1": {"region": "r", "instance": "i-1", "vpc": "vpc-1", "endpoint": "vpce-1"}}
    seen: Any = type("Seen", (), {"bucket_region": "r", "callers": []})()
    network: Any = type("Network", (), {"endpoints": []})()
    (found,) = findings_of_path(seen, network, [hop(name)], known, [])
    assert found.symptom is None and found.heading == found.title
    assert "{" not in found.fix and found.fix


# -- the text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "home", "named"),
    [
        ("data.s3.amazonaws.com", "eu-west-1", True),
        ("data.s3.amazonaws.com", "us-east-1", False),
        ("data.s3.us-west-2.amazonaws.com", "eu-west-1", True),
        ("data.s3.eu-west-1.amazonaws.com", "eu-west-1", False),
        ("sts.us-west-2.amazonaws.com", "eu-west-1", False),
        ("al2023-repos-us-west-2-de612dc2.s3.us-west-2.amazonaws.com", "eu-west-1", False),
    ],
)
def test_s3_was_asked_in_the_wrong_region_or_not(host: str, home: str, named: bool) -> None:
    clues = read(f'Connect timeout on endpoint URL: "https://{host}/"')
    assert [one.symptom for one in told.other_region(clues, home)] == [4] * named


def test_a_text_alone_names_each_cause_once_the_most_likely_first() -> None:
    text = (
        'Connect timeout on endpoint URL: "https://s3.amazonaws.com/"\n'
        'Connect timeout on endpoint URL: "https://data.s3.eu-west-1.amazonaws.com/"\n'
        "Unable to locate credentials\n"
    )
    found = told.alone(read(text))
    assert [one.symptom for one in found] == [4, 1, 2, 3, 7, 5, None]
    assert "--region REGION with" in found[0].fix
    assert found[-1].title == "the command has no credentials"


# -- how it is told -------------------------------------------------------------------------------

FIRST = Finding.of(1, "no route", "i-1", route_table="rtb-1", vpc="vpc-1")
SECOND = Finding(None, "another statement", "Fence", "mend it")


def test_the_first_finding_is_marked_and_stands_first() -> None:
    diagnosis = Diagnosis([FIRST, SECOND], looked=("the way",))
    frame = diagnosis.table()
    assert list(frame.columns) == [*COLUMNS] and list(frame[""]) == ["first", ""]
    assert list(frame["symptom"]) == ["1", "-"] and list(frame["instance"]) == ["i-1", "-"]
    assert diagnosis.first is FIRST
    assert "rtb-1" in diagnosis.remedy().markdown and "no route to S3 (symptom 1)" in repr(
        diagnosis.remedy()
    )
    assert diagnosis.sentence().startswith(
        "First blocker: no route to S3 (symptom 1). One more follows.\nLooked at: the way."
    )


def test_no_finding_says_what_was_looked_at_and_what_was_not() -> None:
    refused = Check.unread("the bucket policy", "AWS answered AccessDenied", "grant s3:X to you")
    doubt = Check("what S3 decides for i-1 can be judged", "UNCERTAIN", "it depends on a tag")
    lines = Diagnosis([], looked=("a", "b"), unread=[refused, doubt]).sentence().splitlines()
    assert lines == [
        "Nothing was found that keeps the instances from the bucket.",
        "Looked at: a, b.",
        "Could not read the bucket policy: AWS answered AccessDenied",
        "Could not judge what S3 decides for i-1: it depends on a tag",
        "To know more: grant s3:X to you.",
        "Not looked at: what goes on within an instance; step 50 asks it.",
    ]


def test_no_finding_beside_a_text_says_what_remains() -> None:
    timeout = read('Connect timeout on endpoint URL: "https://data.s3.eu-west-1.amazonaws.com/"')
    text = Diagnosis([], looked=("a",), clues=timeout).sentence()
    assert "Yet the text says: Connect timeout" in text and "its resolver, a proxy" in text
    text = Diagnosis([], looked=("a",), clues=read("hello")).sentence()
    assert "says nothing that is known here: give the whole message" in text


def test_what_does_not_block_is_told_as_what_it_is() -> None:
    beside = Finding.of(24, "Fence denies it")
    timeout = read('Connect timeout on endpoint URL: "https://data.s3.eu-west-1.amazonaws.com/"')
    lines = Diagnosis([beside], looked=("a",), clues=timeout).sentence().splitlines()
    assert lines[0] == (
        "No blocker was found. Beside the way: a Deny forgets the services of AWS (symptom 24). "
        "Nothing else was found."
    )
    assert lines[1].startswith("Yet the text says: Connect timeout")
    both = Diagnosis([FIRST, beside], looked=("a",), clues=timeout).sentence()
    assert both.startswith("First blocker: no route to S3") and "Yet the text" not in both
    assert "says nothing that is known" in Diagnosis([FIRST], clues=read("hello")).sentence()


@pytest.mark.parametrize("number", [8, 10, 16, 21, 23, 28])
def test_what_is_about_the_change_others_or_the_way_to_ask_is_no_blocker(number: int) -> None:
    told = Diagnosis([Finding.of(number, "seen")], looked=("a",)).sentence()
    assert told.startswith("No blocker was found. Beside the way: ")


def test_the_same_finding_of_several_instances_is_one() -> None:
    other = replace(FIRST, instance="i-2")
    assert merged([FIRST, SECOND, other]) == [replace(FIRST, instance="i-1, i-2"), SECOND]


def test_the_checks_are_about_the_diagnosis_and_never_fail() -> None:
    refused = Check.unread("the bucket policy", "AccessDenied", "grant it")
    states = [c.state for c in Diagnosis([FIRST], looked=("a",), unread=[refused]).checks()]
    assert states == ["PASS", "UNCERTAIN"]


def test_a_finding_can_be_kept_as_json() -> None:
    (fact,) = json.loads(json.dumps(Diagnosis([FIRST]).facts()))
    assert fact["symptom"] == 1 and fact["evidence"] == "no route" and "rtb-1" in fact["fix"]


# -- the command, without any account -------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks AWS would fail at once."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments], input=stdin)


def test_a_text_is_enough_for_the_command() -> None:
    done = run("--error", "InvalidInstanceId: Instances [[i-1]] not in a valid state")
    assert done.exit_code == 1
    first, seen, mend, *_ = done.output.splitlines()
    assert first == f"Most likely: {SYMPTOMS[16].title} (symptom 16). Nothing else was found."
    assert seen.startswith("  Seen: InvalidInstanceId") and mend.startswith("  Fix:  give VPC")


def test_what_several_causes_have_in_common_is_shown_once() -> None:
    done = run("--error", 'Connect timeout on endpoint URL: "https://s3.eu-west-1.amazonaws.com/"')
    assert done.output.count("Seen:") == 1 and done.output.count("Fix:") == 5


def test_the_command_reads_standard_input_whatever_stands_there() -> None:
    text = b"\x00\xff\x1b[31mAn error occurred (RouteAlreadyExists)\xfe\n" + b"\x00" * 10_000_000
    done = run("--error", "-", stdin=text)
    assert done.exit_code == 1 and "symptom 8" in done.output
    assert "\x00" not in done.output and "\x1b" not in done.output


def test_a_text_that_says_nothing_exits_with_zero_and_says_what_would_help() -> None:
    done = run("--error", "hello")
    assert done.exit_code == 0 and "give the whole message" in done.output


@pytest.mark.parametrize("arguments", [[], ["--error", " "], ["--error", "-"], ["i-0123456789"]])
def test_without_parameters_and_text_it_is_bad_input(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2 and "Next: " in done.stderr


def test_no_secret_of_a_text_is_shown_or_refused() -> None:
    key = "AKIA" + "QXPLANTED0000001"
    given = ["-f", "params/rehearsal.yaml", "--error", f"{key} RouteAlreadyExists"]
    for arguments in (given[2:], given):
        done = run(*arguments)
        assert done.exit_code == 1 and "symptom 8" in done.output
        assert key not in done.output + done.stderr
