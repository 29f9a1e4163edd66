"""The symptoms: what is broken, and the command that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.symptoms.ground import BUCKET, BUCKET_ARN, OTHER_BUCKET


@dataclass(frozen=True)
class Symptom:
    """One known symptom, by its number.

    `about` is what is broken, `command` shows it: on app-1, or as the operator, whichever `at`
    says; `<name>` in it stands for the id of the thing of that name. `parameters` are what else
    has to be told to whoever looks for the cause.
    """

    number: int
    name: str
    about: str
    command: str
    at: str = "instance"
    parameters: Mapping[str, Any] = field(default_factory=dict)


# As they would be typed, but so that they end in seconds.
_ONCE, _SOON = "AWS_MAX_ATTEMPTS=1 aws", "--cli-connect-timeout 3"
_LIST = f"{_ONCE} s3api list-objects-v2 --bucket {BUCKET} --region <region> {_SOON}"
_READ = f"{_ONCE} s3api get-object --bucket {BUCKET} --region <region> {_SOON}"
# The package repository of Amazon Linux 2023.
_MIRRORS = (
    "https://al2023-repos-<region>-de612dc2.s3.dualstack.<region>.amazonaws.com"
    "/core/mirrors/latest/x86_64/mirror.list"
)
# Everybody, on a condition that Block Public Access does not count as one.
_PUBLIC = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"{BUCKET_ARN}/*",
                "Condition": {
                    "ArnEquals": {
                        "ec2:SourceInstanceARN": "arn:aws:ec2:<region>:<account>:instance/<app-1>"
                    }
                },
            }
        ],
    }
)

_ALL = (
    Symptom(
        1,
        "no-route",
        "The route table of app-1's subnet has no route to the gateway endpoint.",
        _LIST,
    ),
    Symptom(
        2,
        "security-group",
        "The security group of app-1 lets HTTPS out to private addresses only.",
        _LIST,
    ),
    Symptom(
        3,
        "network-acl",
        "The network ACL of app-1's subnet lets requests to S3 out, but no answer back in.",
        _LIST,
    ),
    Symptom(
        4,
        "global-host-name",
        "The command names no Region, so it asks for the bucket at the S3 of us-east-1.",
        f"{_ONCE} s3api list-objects-v2 --bucket {BUCKET} {_SOON}",
    ),
    Symptom(
        5,
        "other-region",
        "The bucket is in us-east-1, where a gateway endpoint of another Region does not lead.",
        f"{_ONCE} s3api list-objects-v2 --bucket {OTHER_BUCKET} --region us-east-1 {_SOON}",
        parameters={"bucket": OTHER_BUCKET},
    ),
    Symptom(
        6,
        "no-dns",
        "DNS support of the VPC is off, so that app-1 resolves no name.",
        _LIST,
    ),
    Symptom(
        7,
        "longer-prefix",
        "Longer routes into S3's ranges lead to an internet gateway, past the endpoint.",
        _LIST,
    ),
    Symptom(
        8,
        "second-endpoint",
        "The route table has an endpoint for S3 already, and a second one is to be made for it.",
        "aws ec2 create-vpc-endpoint --vpc-id <rehearsal>"
        " --service-name com.amazonaws.<region>.s3 --route-table-ids <private-a>"
        " --tag-specifications"
        " 'ResourceType=vpc-endpoint,Tags=[{Key=private-s3:change,Value=rehearsal}]'",
        at="operator",
    ),
    Symptom(
        9,
        "route-by-hand",
        "The route to S3 belongs to the endpoint, and is to be deleted by hand.",
        "aws ec2 delete-route --route-table-id <private-a>"
        " --destination-prefix-list-id pl-61a54008",
        at="operator",
    ),
    Symptom(
        11,
        "source-ip",
        "The bucket policy denies whom it does not know by public address, which the endpoint"
        " takes away.",
        _LIST,
    ),
    Symptom(
        12,
        "wrong-endpoint-id",
        "The bucket policy denies everything that does not come through an endpoint that is not"
        " ours.",
        f"aws s3api get-bucket-policy --bucket {BUCKET}",
        at="operator",
    ),
    Symptom(
        13,
        "stale-endpoint-id",
        "The bucket policy lets only an endpoint through that was deleted; its successor has"
        " another id.",
        _LIST,
    ),
    Symptom(
        14,
        "endpoint-policy",
        "The policy of the endpoint allows another bucket only.",
        f"{_READ} --key readme.txt /dev/null",
    ),
    Symptom(
        15,
        "aws-buckets",
        "The policy of the endpoint allows the application's bucket only, and not those of AWS"
        " that packages come from.",
        f"curl --silent --show-error --fail --connect-timeout 3 {_MIRRORS}",
    ),
    Symptom(
        16,
        "not-managed",
        "The VPC has no interface endpoint for Systems Manager, so no command reaches app-1.",
        "aws ssm send-command --document-name AWS-RunShellScript --instance-ids <app-1>"
        " --parameters commands=id",
        at="operator",
    ),
    Symptom(
        17,
        "only-s3",
        "The command asks STS, and only S3 has a way out of the VPC.",
        f"{_ONCE} sts get-caller-identity --region <region> {_SOON}",
    ),
    Symptom(
        18,
        "wrong-arns",
        "The role of app-1 may list the bucket's objects, and read and write the bucket: each is"
        " the ARN of the other.",
        _LIST,
    ),
    Symptom(
        19,
        "head-without-reason",
        "The role of app-1 may not list the bucket, so S3 does not tell it that an object is"
        " absent.",
        f"{_ONCE} s3api head-object --bucket {BUCKET} --key reports/2026-12.csv --region <region>"
        f" {_SOON}",
    ),
    Symptom(
        20,
        "kms-key",
        "The key that encrypts the bucket may be used through the endpoint only, and it is S3 who"
        " uses it.",
        f"{_READ} --key reports/2026-02.csv /dev/null",
    ),
    Symptom(
        21,
        "public-policy",
        "The bucket policy to be put allows everybody, on a condition that does not keep it from"
        " being public.",
        f"aws s3api put-bucket-policy --bucket {BUCKET} --policy '{_PUBLIC}'",
        at="operator",
    ),
    Symptom(
        24,
        "services-denied",
        "The bucket policy denies the services of AWS too, so that no access log is delivered.",
        f"{_LIST} --prefix access-logs/ --no-paginate --query KeyCount",
    ),
    Symptom(
        25,
        "deny-never-fires",
        "The bucket policy's Deny of all outside the endpoint never holds: outside, its key is"
        " absent.",
        f"aws s3api get-object --bucket {BUCKET} --key readme.txt /dev/null",
        at="operator",
    ),
)
SYMPTOMS: dict[str, Symptom] = {symptom.name: symptom for symptom in _ALL}
