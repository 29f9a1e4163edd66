"""IAM Access Analyzer checks a bucket policy before it is sent."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config

import rehearsal
from private_s3 import aws, lint
from private_s3.plan import NEW_ENDPOINT
from tests.unit.private_s3.test_lint import GOOD, document, statement, when


@pytest.fixture
def account(shared: rehearsal.Account, monkeypatch: pytest.MonkeyPatch) -> aws.Account:
    """The rehearsal account, as its operator sees it."""
    return seen_by(shared, "operator", monkeypatch)


def seen_by(shared: rehearsal.Account, who: str, monkeypatch: pytest.MonkeyPatch) -> aws.Account:
    for name, value in shared.environment(who).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(region_name=shared.region)
    return aws.Account(session, shared.account_id, who)


def states(account: aws.Account, policy: str | None) -> list[str]:
    return [check.state for check in lint.analyzed(account, policy)]


def test_analyzer_passes_a_policy_whose_endpoint_is_yet_to_be_made(account: aws.Account) -> None:
    bound = {"Condition": {"StringEquals": {"aws:SourceVpce": NEW_ENDPOINT}}, "Effect": "Allow"}
    assert states(account, document(statement(**bound))) == ["PASS", "PASS"]
    assert dict(account.calls) == {"ValidatePolicy": 1, "CheckNoPublicAccess": 1}


def test_analyzer_is_sent_an_id_in_place_of_the_symbol(
    account: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    account.session.events.register(
        "before-call.accessanalyzer", lambda params, **_: sent.append(params["body"].decode())
    )
    lint.analyzed(account, document(when("StringEquals", "aws:SourceVpce", NEW_ENDPOINT)))
    assert len(sent) == 2
    assert all(lint.SOME_ENDPOINT in body and NEW_ENDPOINT not in body for body in sent)


def test_analyzer_fails_an_invalid_policy_and_cannot_tell_who_may_use_it(
    account: aws.Account,
) -> None:
    valid, private = lint.analyzed(account, document(GOOD, when("StringEqual", "aws:a", "b")))
    problem = 'ERROR at Statement[1].Condition: unknown operator "StringEqual"'
    assert (valid.state, valid.detail) == ("FAIL", problem)
    assert private.state == "UNCERTAIN" and "InvalidParameterException" in private.detail


def test_analyzer_fails_a_public_policy(account: aws.Account) -> None:
    valid, private = lint.analyzed(account, document(statement(Effect="Allow")))
    assert (valid.state, private.state) == ("PASS", "FAIL")
    assert "index: 0" in private.detail


def test_only_a_policy_that_is_newly_public_fails(account: aws.Account) -> None:
    public = document(statement(Effect="Allow"))
    _, still = lint.analyzed(account, public, taken=public)
    assert (still.state, still.detail.partition(":")[0]) == ("SKIPPED", "it was so before")
    _, newly = lint.analyzed(account, public, taken=document(GOOD))
    _, no_more = lint.analyzed(account, document(GOOD), taken=public)
    assert (newly.state, no_more.state) == ("FAIL", "PASS")


def test_analyzer_that_may_not_be_asked_is_uncertain(
    shared: rehearsal.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = seen_by(shared, "break-glass", monkeypatch)
    for check, name in zip(
        lint.analyzed(account, document(GOOD)),
        ("ValidatePolicy", "CheckNoPublicAccess"),
        strict=True,
    ):
        assert check.state == "UNCERTAIN"
        assert check.detail.startswith("AWS answered AccessDeniedException: ")
        assert check.remedy == f"grant access-analyzer:{name} to the caller"


def test_analyzer_that_cannot_be_reached_is_uncertain(
    account: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    monkeypatch.setattr(aws, "CONFIG", config)
    checks = lint.analyzed(account, document(GOOD))
    assert [check.state for check in checks] == ["UNCERTAIN", "UNCERTAIN"]
    assert checks[0].detail.startswith("AWS could not be reached")


def test_warnings_of_the_analyzer_are_shown_and_do_not_fail(
    account: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [{"value": "Statement"}, {"index": 0}, {"substring": {"start": 0, "length": 1}}]
    found = {"findingType": "SECURITY_WARNING", "findingDetails": "Beware.", "locations": []}
    placed = {**found, "locations": [{"path": path}]}
    monkeypatch.setattr(aws, "pages", lambda *_, **__: [found, placed])
    check = lint.analyzed(account, document(GOOD))[0]
    assert check.state == "PASS"
    assert check.detail == (
        "SECURITY_WARNING at Document: Beware.; SECURITY_WARNING at Statement[0]: Beware."
    )


def test_no_policy_is_not_sent_to_the_analyzer(account: aws.Account) -> None:
    assert states(account, None) == ["SKIPPED", "SKIPPED"]
    assert not account.calls
