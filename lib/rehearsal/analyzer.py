"""IAM Access Analyzer, which moto does not have: is a bucket policy valid, and is it public.

It knows what iam_verdict knows, and so no action or condition key by name.
"""

import json
import re
from typing import Any

from iam_verdict import PolicyError, parse, public_statements
from rehearsal.call import Answer, Call, Refused

_BUCKET = "AWS::S3::Bucket"
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_MORE = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
)


def answer(call: Call) -> Answer:
    """The answer to a call, in the service's own form; raises Refused."""
    operations = {
        "ValidatePolicy": _validate_policy,
        "CheckNoPublicAccess": _check_no_public_access,
    }
    if call.operation not in operations:
        raise NotImplementedError(f"{call.operation} is not implemented.")
    try:
        asked = json.loads(call.body)
        policy = asked["policyDocument"]
    except (ValueError, LookupError, TypeError) as error:
        raise Refused(400, "ValidationException", f"The request is malformed: {error!r}") from error
    found = operations[call.operation](asked, policy)
    return 200, [("Content-Type", "application/json")], json.dumps(found).encode()


def _validate_policy(asked: dict[str, Any], policy: str) -> dict[str, Any]:
    kind = asked.get("policyType"), asked.get("validatePolicyResourceType")
    if kind != ("RESOURCE_POLICY", _BUCKET):
        raise NotImplementedError("Only bucket policies are validated.")
    try:
        parse(policy, names_principals=True)
    except PolicyError as error:
        return {"findings": [_finding(error)]}
    return {"findings": []}


def _finding(error: PolicyError) -> dict[str, Any]:
    steps = () if error.place == "Document" else _STEP.findall(error.place)
    nowhere = {"line": 1, "column": 0, "offset": 0}
    return {
        "findingType": "ERROR",
        "issueCode": "POLICY_SYNTAX_ERROR",
        "findingDetails": error.problem,
        "learnMoreLink": _MORE,
        "locations": [
            {
                "path": [{"index": int(i)} if i else {"value": name} for i, name in steps],
                "span": {"start": nowhere, "end": nowhere},
            }
        ],
    }


def _check_no_public_access(asked: dict[str, Any], policy: str) -> dict[str, Any]:
    if asked.get("resourceType") != _BUCKET:
        raise NotImplementedError("Only bucket policies are checked.")
    try:
        public = public_statements(policy)
    except PolicyError as error:
        raise Refused(
            400, "InvalidParameterException", f"The policy is invalid: {error}"
        ) from error
    if not public:
        message = "The resource policy does not grant public access for the given resource type."
        return {"result": "PASS", "message": message, "reasons": []}
    return {
        "result": "FAIL",
        "message": "The resource policy grants public access for the given resource type.",
        "reasons": [
            {
                "description": f"Public access granted in the statement with index: {one.index}.",
                "statementIndex": one.index,
                "statementId": one.sid,
            }
            for one in public
        ],
    }
