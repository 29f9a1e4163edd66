"""What to do about a refusal: the exact action, whatever was tried, wherever AWS names it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from private_s3 import aws
from private_s3.errors import AwsRefused

ME = "User: arn:aws:sts::123456789012:assumed-role/operator/me"
GIVEN = "grant one of several to the caller"
TABLE = "arn:aws:ec2:eu-central-1:123456789012:route-table/rtb-1"


def remedy(code: str, message: str, status: int = 403) -> str:
    """The next step after an answer of AWS."""
    answer = {"Code": code, "Message": message}
    response = {"Error": answer, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(AwsRefused) as raised, aws.attempt("try it", GIVEN):
        raise ClientError(response, "Operation")
    return raised.value.remedy


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (
            "AccessDenied",
            'perform: s3:GetBucketPolicy on resource: "arn:aws:s3:::data" because no identity-based'
            " policy allows the s3:GetBucketPolicy action",
            "grant s3:GetBucketPolicy on arn:aws:s3:::data to the caller",
        ),
        (
            "UnauthorizedOperation",
            "perform: ec2:DescribeSubnets because no identity-based policy allows the"
            " ec2:DescribeSubnets action",
            "grant ec2:DescribeSubnets to the caller",
        ),
        (
            "UnauthorizedOperation",
            f"perform: ec2:CreateVpcEndpoint on resource: {TABLE} because no identity-based policy"
            " allows the ec2:CreateVpcEndpoint action. Encoded authorization failure message: x-y",
            f"grant ec2:CreateVpcEndpoint on {TABLE} to the caller",
        ),
        (
            "AccessDeniedException",
            "perform: ssm:DescribeInstanceInformation on resource: * because no identity-based"
            " policy allows the ssm:DescribeInstanceInformation action",
            "grant ssm:DescribeInstanceInformation to the caller",
        ),
        # It does not always say why.
        ("AccessDenied", "perform: iam:ListRoles", "grant iam:ListRoles to the caller"),
        (
            "AccessDenied",
            "perform: access-analyzer:ValidatePolicy with an explicit deny in a service control"
            " policy",
            "have the Deny lifted for access-analyzer:ValidatePolicy; AWS has named the kind of "
            "policy it stands in",
        ),
        (
            "AccessDenied",
            'perform: s3:GetObject on resource: "arn:aws:s3:::data/x" because no VPC endpoint'
            " policy allows the s3:GetObject action",
            "have s3:GetObject allowed in the VPC endpoint policy too",
        ),
        (
            "AccessDenied",
            "perform: kms:DescribeKey on resource: x because no permissions boundary allows the"
            " kms:DescribeKey action",
            "have kms:DescribeKey allowed in the permissions boundary too",
        ),
        # Here no permission is missing.
        (
            "AccessDenied",
            'perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::data" because public policies'
            " are prevented by the BlockPublicPolicy setting in S3 Block Public Access",
            GIVEN,
        ),
    ],
)
def test_the_remedy_names_what_aws_has_named(code: str, said: str, expected: str) -> None:
    assert remedy(code, f"{ME} is not authorized to {said}") == expected


@pytest.mark.parametrize(
    "said", ["Access Denied", "You are not authorized to perform this operation. x-y", "No."]
)
def test_where_aws_names_nothing_the_remedy_is_that_of_who_has_tried(said: str) -> None:
    assert remedy("AccessDenied", said) == GIVEN


def test_what_may_pass_is_tried_again_whatever_it_names() -> None:
    said = f"{ME} is not authorized to perform: s3:GetBucketPolicy"
    assert remedy("InternalError", said, 500) == "this may pass: run it again in a minute"
