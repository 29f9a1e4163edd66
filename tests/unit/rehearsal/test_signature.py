"""Which signatures the rehearsal account takes, by requests that are signed here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rehearsal.signature import Signature, SignatureError

KEY, SECRET, REGION, HOST = "AKIAEXAMPLE", "secret", "eu-west-1", "sts.eu-west-1.amazonaws.com"
URL, BODY = f"https://{HOST}/", b"Action=GetCallerIdentity"


def check(*names: str, late: timedelta = timedelta()) -> None:
    """Has a request checked of which these headers are signed, sent so much too late."""
    date = (datetime.now(UTC) - late).strftime("%Y%m%dT%H%M%SZ")
    sent = {"host": HOST, "x-amz-date": date, "x-more": "more"}
    request = AWSRequest("POST", URL, {name: sent[name] for name in names}, BODY)
    request.context["timestamp"] = date
    signer = SigV4Auth(Credentials(KEY, SECRET), "sts", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signature = Signature(KEY, REGION, "sts", names, signer.signature(text, request))
    signature.check(SECRET, None, "POST", URL, sent, BODY)


def test_a_signature_over_host_and_time_is_taken() -> None:
    check("host", "x-amz-date")
    check("host", "x-amz-date", "x-more")


@pytest.mark.parametrize("names", [("host",), ("x-amz-date",), ("host", "x-more")])
def test_a_signature_that_leaves_out_host_or_time_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(SignatureError, match="SignatureDoesNotMatch"):
        check(*names)


@pytest.mark.parametrize(("minutes", "taken"), [(14, True), (-14, True), (16, False), (-16, False)])
def test_a_clock_may_be_a_quarter_of_an_hour_off(minutes: int, taken: bool) -> None:
    late = timedelta(minutes=minutes)
    if taken:
        check("host", "x-amz-date", late=late)
    else:
        with pytest.raises(SignatureError, match="request time"):
            check("host", "x-amz-date", late=late)
