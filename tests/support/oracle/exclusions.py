"""The cases in which the engine is known to be wrong, or which AWS's documents do not settle.

Each is excluded by its name; a test shows that the engine still is as it is described here.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from tests.support.oracle.cases import Case

_REPAIRS = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")


def excluded(case: Case) -> str:
    """The name of the first exclusion that a case falls under, "" if it is compared."""
    return next((name for name, applies in EXCLUSIONS.items() if applies(case)), "")


def documents(case: Case) -> Iterator[dict[str, Any]]:
    """Every policy document of a case."""
    policies = case["policies"]
    yield from policies.get("identity", [])
    yield from policies.get("session", [])
    yield from (policies[name] for name in ("resource", "endpoint", "boundary") if name in policies)
    for name in ("organization", "resource_control"):
        yield from (document for level in policies.get(name, []) for document in level)


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a document."""
    return _listed(document["Statement"])


def conditions(case: Case) -> Iterator[tuple[str, str, list[str]]]:
    """Every operator, key (in lower case) and values of a case."""
    for document in documents(case):
        for statement in statements(document):
            for operator, keys in statement.get("Condition", {}).items():
                for key, values in keys.items():
                    yield operator, key.lower(), [str(value) for value in _listed(values)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _context(case: Case) -> dict[str, list[str]]:
    return {key.lower(): _listed(value) for key, value in case["context"].items()}


def _compared(case: Case, operators: str) -> Iterator[tuple[str, str, str]]:
    """Operator, value of the policy and value of the request, each time that they are compared."""
    given = _context(case)
    for operator, key, values in conditions(case):
        if operators in operator:
            yield from (
                (operator, value, asked) for value in values for asked in given.get(key, ())
            )


def _variables_in_an_old_version(case: Case) -> bool:
    """The engine expands variables whatever the version; AWS takes them for plain text.

    Source: IAM User Guide, "IAM JSON policy elements: Version".
    """
    old = [given for given in documents(case) if given.get("Version") != "2012-10-17"]
    return "${" in repr(old)


def _negated_variable_without_value(case: Case) -> bool:
    """To the engine no operator fits a variable without value; AWS lets the negated ones.

    Source: IAM User Guide, "IAM policy elements: Variables and tags", variables with no value.
    """
    given = _context(case)
    for _, value, _ in _compared(case, "Not"):
        for variable in value.split("${")[1:]:
            name = variable.partition("}")[0]
            if "," not in name and name not in ("*", "?", "$") and name.lower() not in given:
                return True
    return False


def _address_alone(case: Case) -> bool:
    """To the engine NotIpAddress fails on addresses of the other family, and IPv6 on spelling.

    So only if the policy has an address that is no range. Source: as for all addresses.
    """
    for operator, value, asked in _compared(case, "IpAddress"):
        if "/" not in value and value != asked:
            ours, theirs = ip_address(value), ip_address(asked)
            if ours == theirs or (ours.version != theirs.version and "Not" in operator):
                return True
    return False


def _all_addresses(case: Case) -> bool:
    """To the engine an IPv4 address is not in 0.0.0.0/0.

    Source: IAM User Guide, "IAM JSON policy elements: Condition operators", IP addresses: CIDR.
    """
    return any(
        value.endswith("/0") and ":" not in value + asked
        for _, value, asked in _compared(case, "IpAddress")
    )


def _seconds_beside_a_date(case: Case) -> bool:
    """The engine takes seconds since 1970 for milliseconds when it compares them with a date.

    Source: IAM User Guide, "IAM JSON policy elements: Condition operators", dates.
    """
    return any(value.isdigit() != asked.isdigit() for _, value, asked in _compared(case, "Date"))


def _variable_early_in_an_arn(case: Case) -> bool:
    """The engine splits an ARN into six parts at colons, the one in a variable's name among them.

    Source: IAM User Guide, "IAM policy elements: Variables and tags": ARN operators take them.
    """
    return any("${" in "".join(value.split(":")[:5]) for _, value, _ in _compared(case, "Arn"))


def _escape_where_no_wildcards_are(case: Case) -> bool:
    """The engine leaves ${*}, ${?} and ${$} as they are written where it knows no wildcards.

    Source: IAM User Guide, "IAM policy elements: Variables and tags", special characters.
    """
    return any(
        {"${*}", "${?}", "${$}"} & {value[at : at + 4] for at in range(len(value))}
        for operator, value, _ in _compared(case, "String")
        if "Like" not in operator
    )


def _principal_of_an_endpoint_policy(case: Case) -> bool:
    """The engine takes an endpoint policy with any Principal but a star for malformed.

    Source: AWS PrivateLink, "Gateway endpoints for Amazon S3": an account stands for its root.
    """
    endpoint = case["policies"].get("endpoint", {"Statement": []})
    return any(statement["Principal"] != "*" for statement in statements(endpoint))


def _root_repairs_its_bucket_policy(case: Case) -> bool:
    """The engine knows no root, whom no bucket policy keeps from repairing it.

    Source: Amazon S3 API Reference, PutBucketPolicy.
    """
    owner = case["principal"].get("account") == case["resource_account"]
    repairs = case["principal"]["kind"] == "root" and owner and case["action"] in _REPAIRS
    return repairs and "resource" in case["policies"]


def _not_principal_names_half(case: Case) -> bool:
    """To the engine NotPrincipal spares who is named alone; AWS wants the account named as well.

    Source: IAM User Guide, "AWS JSON policy elements: NotPrincipal".
    """
    caller = case["principal"]
    if "account" not in caller:
        return False
    account = {caller["account"], f"arn:aws:iam::{caller['account']}:root"}
    own = {caller[name] for name in ("arn", "session_arn") if name in caller} - account
    for statement in statements(case["policies"].get("resource", {"Statement": []})):
        named = set(_listed(statement.get("NotPrincipal", {}).get("AWS", [])))
        if named & (own | account) and not (own <= named and named & account):
            return True
    return False


def _grant_beyond_a_session_policy(case: Case) -> bool:
    """To the engine a session policy narrows each grant; AWS says not one that names the session.

    Not settled: IAM User Guide, "Policy evaluation logic", has nothing on a star.
    """
    caller, policies = case["principal"], case["policies"]
    if "session" not in policies or "resource" not in policies:
        return False
    return any(
        statement["Effect"] == "Allow"
        and {"*", caller["session_arn"]} & _named(statement.get("Principal", {}))
        for statement in statements(policies["resource"])
    )


def _limits_on_everyone(case: Case) -> Iterator[tuple[str, list[str]]]:
    """Key and values of what limits everyone in a bucket policy that may be restricted."""
    caller, policies = case["principal"], case["policies"]
    own = caller.get("account") == case["resource_account"] or caller["kind"] == "service"
    if own or "resource" not in policies or not policies.get("restrict_public_buckets"):
        return
    for statement in statements(policies["resource"]):
        if "*" in _named(statement.get("Principal", {})):
            for keys in statement.get("Condition", {}).values():
                for key, values in keys.items():
                    yield key.lower(), [str(value) for value in _listed(values)]


def _public_by_value(case: Case) -> bool:
    """The engine takes wildcards and variables for fixed values, and an address alone for none.

    Source: Amazon S3 User Guide, "Blocking public access ...", "The meaning of 'public'".
    """
    return any(
        (key == "aws:sourceip" and "/" not in value)
        or "*" in value
        or "?" in value
        or "${" in value
        for key, values in _limits_on_everyone(case)
        for value in values
    )


def _public_by_key(case: Case) -> bool:
    """The engine takes more keys, and ARNs with an account only, for what limits everyone.

    Not settled: Amazon S3 User Guide, "The meaning of 'public'", has no such keys or rule.
    """
    disputed = {"aws:principalarn", "aws:sourcearn"}
    disputed |= {"aws:principalisawsservice", "aws:principalorgpaths"}
    return any(key in disputed for key, _ in _limits_on_everyone(case))


def _named(principal: Any) -> set[str]:
    return {"*"} if principal == "*" else set(_listed(principal.get("AWS", [])))


EXCLUSIONS: dict[str, Callable[[Case], bool]] = {
    "variables in an old version": _variables_in_an_old_version,
    "negated operator on a variable without value": _negated_variable_without_value,
    "address alone": _address_alone,
    "all addresses": _all_addresses,
    "seconds beside a date": _seconds_beside_a_date,
    "variable early in an ARN": _variable_early_in_an_arn,
    "escape where no wildcards are": _escape_where_no_wildcards_are,
    "principal of an endpoint policy": _principal_of_an_endpoint_policy,
    "root repairs its bucket policy": _root_repairs_its_bucket_policy,
    "NotPrincipal names half of the caller": _not_principal_names_half,
    "grant beyond a session policy": _grant_beyond_a_session_policy,
    "public or not by a value": _public_by_value,
    "public or not by a key": _public_by_key,
}
