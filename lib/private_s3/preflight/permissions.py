"""Finds out whether the operator may make the writes of a plan, and take them back.

EC2 is asked itself, by dry runs; S3 and Systems Manager have none, and there the operator's own
policies are judged, as far as they can be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from iam_verdict import PolicyError, Verdict
from private_s3 import access, bucket, endpoint, plan
from private_s3.callers import Caller, instance_arn
from private_s3.network import tags
from private_s3.plan import Change
from private_s3.preflight import dry_run
from private_s3.preflight.own_policies import WORST, Asked, verdict
from private_s3.record import Check, State

if TYPE_CHECKING:
    from private_s3.change import Planned

BY_POLICIES = "by the policies that could be read"
# Has the form of an id, and is none.
NO_ENDPOINT = "vpce-" + "0" * 17
DOCUMENT = "AWS-RunShellScript"
_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
# What EC2 adds for administrators to decode; nobody can read it here.
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+")


def checks(planned: Planned) -> list[Check]:
    """Whether the operator may do what is left of the plan, and undo it.

    While planning, a missing permission is UNCERTAIN: who plans need not be who applies.
    At most one dry run for each endpoint of the plan, and one for the undo; no call besides those
    of the access matrix. IAM actions: those of the writes themselves.
    """
    todo = [change for change in planned.plan.changes if change not in planned.finished]
    return [
        *_of_endpoint(planned, plan.of(todo, endpoint.PARTS)),
        *_of_bucket(planned, plan.of(todo, bucket.PARTS)),
        *(_of_run_command(planned) if planned.record.parameters.check_by == "ssm" else ()),
    ]


# -- EC2, which is asked itself -------------------------------------------------------------------


def _of_endpoint(planned: Planned, todo: Sequence[Change]) -> Iterator[Check]:
    """The very requests that apply would send, as dry runs."""
    found, made = planned.reading.network, planned.endpoint_id(planned.reading)
    service = next((change for change in todo if change.field == "service"), None)
    if service and service.after:
        request = endpoint.creation(found, todo, planned.record)
        # AWS may remember what a token was first used for.
        del request["ClientToken"]
        yield _dry_run(planned, "you may create the endpoint", "CreateVpcEndpoint", request)
        yield _deletion_of_what_is_not_there_yet(planned)
    elif service:
        request = {"VpcEndpointIds": [made]}
        yield _dry_run(planned, f"you may delete {made}", "DeleteVpcEndpoints", request)
    else:
        for endpoint_id, request in endpoint.modifications(todo, made).items():
            title = f"you may modify {endpoint_id}, and back"
            yield _dry_run(planned, title, "ModifyVpcEndpoint", request)


def _dry_run(planned: Planned, title: str, operation: str, request: Mapping[str, Any]) -> Check:
    answer = dry_run.ask(planned.account, operation, request)
    if answer.code == dry_run.PERMITTED:
        return Check(title, "PASS", f"{operation}: {answer.code}")
    detail = _ENCODED.sub("", answer.answer)
    if answer.code != dry_run.REFUSED:
        return Check(title, "UNCERTAIN", f"{operation}: {detail}", answer.remedy)
    found = _ACTION.search(answer.answer)
    action = found[1] if found else f"ec2:{operation}"
    return Check(title, _lacking(planned), f"{action}: {detail}", _grant(planned, action))


def _deletion_of_what_is_not_there_yet(planned: Planned) -> Check:
    """Whether the undo may delete the endpoint.

    A dry run can only name some other id, without the tags that a policy may ask for; so where it
    is refused, the policies are judged, with the tags that the endpoint will have.
    """
    title = "you may delete the endpoint again"
    request = {"VpcEndpointIds": [NO_ENDPOINT]}
    tried = _dry_run(planned, title, "DeleteVpcEndpoints", request)
    if tried.state == "PASS":
        return tried
    account, found = planned.account, planned.reading.network
    parameters = planned.record.parameters
    own_tags = {"Name": parameters.endpoint_name, endpoint.CHANGE_TAG: parameters.change_id}
    keys = {"ec2:VpceServiceName": found.service_name, "ec2:Region": account.region}
    arn = f"arn:aws:ec2:{account.region}:{account.id}:vpc-endpoint/{NO_ENDPOINT}"
    asked = Asked("ec2:DeleteVpcEndpoints", arn, keys, own_tags)
    return _by_policies(planned, f"{title}, {BY_POLICIES}", [asked])


# -- S3 and Systems Manager, whose answers are predicted ------------------------------------------


def _of_bucket(planned: Planned, todo: Sequence[Change]) -> Iterator[Check]:
    """Put or delete the policy, and put it back, each under the policy that is there then."""
    caller, key = operator(planned), planned.matrix.key
    for change in todo:
        steps = (
            ("change the bucket policy", change.after, planned.matrix.before),
            ("put the bucket policy back", change.before, planned.matrix.after),
        )
        for what, text, situation in steps[: 1 if planned.plan.undo else 2]:
            action = "s3:PutBucketPolicy" if text else "s3:DeleteBucketPolicy"
            title = f"you may {what}, {BY_POLICIES}"
            try:
                verdicts = [situation.verdict(caller, action, key)]
            except PolicyError as error:
                yield Check(title, "UNCERTAIN", f"a policy that cannot be understood: {error}")
                continue
            yield _judged(planned, title, caller, verdicts)


def _of_run_command(planned: Planned) -> Iterator[Check]:
    """Send the script of step 50 to the instances of the change, and read what it printed."""
    account = planned.account
    document = f"arn:aws:ssm:{account.region}::document/{DOCUMENT}"
    asked = [Asked("ssm:SendCommand", document), Asked("ssm:GetCommandInvocation", "*")]
    for one in planned.reading.network.instances:
        arn = instance_arn(account, one["InstanceId"])
        asked.append(Asked("ssm:SendCommand", arn, tags=tags(one)))
    yield _by_policies(planned, f"you may run the checks of step 50, {BY_POLICIES}", asked)


def _by_policies(planned: Planned, title: str, asked: Iterable[Asked]) -> Check:
    caller, account = operator(planned), planned.account
    try:
        found = [verdict(caller, one, account.id, account.region) for one in asked]
        return _judged(planned, title, caller, found)
    except PolicyError as error:
        return Check(title, "UNCERTAIN", f"a policy that cannot be understood: {error}")


def operator(planned: Planned) -> Caller:
    """Whoever runs this, as the access matrix knows them."""
    return next(one for one in planned.matrix.callers if one.part == "operator")


def _judged(planned: Planned, title: str, caller: Caller, verdicts: Sequence[Verdict]) -> Check:
    worst = min(verdicts, key=lambda verdict: WORST.index(verdict.decision))
    detail = f"{worst.action}: {access.reason(caller, worst)}"
    if worst.decision == "allowed":
        return Check(title, "PASS", f"{', '.join(dict.fromkeys(v.action for v in verdicts))}")
    state: State = "UNCERTAIN" if worst.decision == "depends" else _lacking(planned)
    return Check(title, state, detail, _grant(planned, worst.action))


def _lacking(planned: Planned) -> State:
    return "FAIL" if planned.record.parameters.applying else "UNCERTAIN"


def _grant(planned: Planned, action: str) -> str:
    who = planned.account.arn if planned.record.parameters.applying else "whoever applies this"
    return f"grant {action} to {who}; if a Deny forbids it, have that lifted"
