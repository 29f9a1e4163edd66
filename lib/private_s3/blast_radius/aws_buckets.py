"""Knows what AWS itself keeps in S3 buckets of a Region, and how instances ask for it."""

from __future__ import annotations

from typing import Literal, NamedTuple

# How a request for one of them comes: without any signature, signed by the role of the instance,
# or to an address that AWS has signed and handed out, and then it is AWS who asks.
Signature = Literal["unsigned", "by the role", "by AWS"]
UNSIGNED: tuple[Signature, ...] = ("unsigned",)
EITHER: tuple[Signature, ...] = ("unsigned", "by the role")
BY_AWS: tuple[Signature, ...] = ("by AWS",)


class Family(NamedTuple):
    """Buckets of AWS that serve one purpose, how requests to them are signed, and who says so."""

    purpose: str
    buckets: tuple[str, ...]
    signatures: tuple[Signature, ...]
    source: str
    action: str = "s3:GetObject"
    service: str = ""  # that signs, where it is not an account of AWS


_PERIMETER = "aws-samples/data-perimeter-policy-examples, vpc_endpoint_policies"
_AGENT = "AWS Systems Manager User Guide, SSM Agent communications with AWS managed S3 buckets"
_PATCHING = "AWS Systems Manager User Guide, Amazon S3 buckets for patching operations"
_BEANSTALK = "AWS Elastic Beanstalk Developer Guide, Using endpoint policies"
_CLOUDFORMATION = "AWS CloudFormation User Guide, Considerations for CloudFormation VPC endpoints"
_ECR = "Amazon ECR User Guide, Minimum Amazon S3 bucket permissions for Amazon ECR"
_FAMILIES = (
    Family(
        "Amazon Linux 2023 packages (dnf)", ("al2023-repos-{r}-de612dc2",), UNSIGNED, _PERIMETER
    ),
    Family("Amazon Linux 2 packages (yum)", ("amazonlinux-2-repos-{r}",), UNSIGNED, _PERIMETER),
    Family("updates of the SSM agent", ("amazon-ssm-{r}",), EITHER, _AGENT),
    Family("documents of Systems Manager", ("aws-ssm-{r}",), EITHER, _AGENT),
    Family(
        "packages of Systems Manager (Distributor)",
        ("aws-ssm-document-attachments-{r}", "{distributor}"),
        EITHER,
        _AGENT,
    ),
    Family(
        "patching by Systems Manager",
        ("aws-patch-manager-{r}-{patch_manager}", "patch-baseline-snapshot-{r}{snapshot}"),
        EITHER,
        _PATCHING,
    ),
    Family("the CloudWatch agent", ("amazoncloudwatch-agent-{r}",), UNSIGNED, _PERIMETER),
    Family("the CodeDeploy agent", ("aws-codedeploy-{r}",), EITHER, _PERIMETER),
    Family("images from ECR", ("prod-{r}-starport-layer-bucket",), BY_AWS, _ECR),
    Family(
        "signals to CloudFormation (cfn-signal to a wait condition, custom resources)",
        ("cloudformation-waitcondition-{r}", "cloudformation-custom-resource-response-{joined}"),
        BY_AWS,
        _CLOUDFORMATION,
        "s3:PutObject",
        "cloudformation.amazonaws.com",
    ),
    Family(
        "platforms of Elastic Beanstalk",
        (
            "elasticbeanstalk-platform-assets-{r}{beanstalk}",
            "elasticbeanstalk-env-resources-{r}{beanstalk}",
            "elasticbeanstalk-samples-{r}",
        ),
        EITHER,
        _BEANSTALK,
    ),
)
# The names that are made of more than the Region. Source: _PATCHING.
_PATCH_MANAGER = {
    "af-south-1": "bdd5f65a9",
    "ap-east-1": "632356271",
    "ap-northeast-1": "4849fa78f",
    "ap-northeast-2": "10467995c",
    "ap-northeast-3": "67373598a",
    "ap-south-1": "cb7c62ff9",
    "ap-south-2": "32f4b4128",
    "ap-southeast-1": "7fdfd9ef7",
    "ap-southeast-2": "17283a275",
    "ap-southeast-3": "aa48fc462",
    "ap-southeast-4": "01e2c40d3",
    "ca-central-1": "3148e69e3",
    "ca-west-1": "9e3a4b2f9",
    "eu-central-1": "9163fdaaf",
    "eu-central-2": "184ce43c8",
    "eu-north-1": "795879e9b",
    "eu-south-1": "c52f3f594",
    "eu-south-2": "a4cf248b1",
    "eu-west-1": "5522fb710",
    "eu-west-2": "902a2bc74",
    "eu-west-3": "29bf85721",
    "il-central-1": "e221cb57b",
    "me-central-1": "2932f2f80",
    "me-south-1": "a53fc9dce",
    "sa-east-1": "ddf4b6a09",
    "us-east-1": "1970c647d",
    "us-east-2": "552881074",
    "us-west-1": "8badb4304",
    "us-west-2": "34d7f99f8",
}
_SNAPSHOT = {
    "af-south-1": "-tbxdb5b9",
    "ap-south-2": "-50209442",
    "ap-southeast-3": "-be0a3174",
    "ap-southeast-4": "-dc6f76ce",
    "eu-south-2": "-df2c9d70",
    "me-south-1": "-uduvl7q8",
}
# Source: _BEANSTALK.
_BEANSTALK_SUFFIX = {"me-central-1": "-f08b818c"}
# Source: _AGENT.
_OTHER_DISTRIBUTOR = ("af-south-1", "eu-south-1")


def families(region: str) -> list[Family]:
    """What AWS keeps in a Region; none where its names are not known here (China, GovCloud)."""
    if region not in _PATCH_MANAGER:
        return []
    names = {
        "r": region,
        "joined": region.replace("-", ""),
        "patch_manager": _PATCH_MANAGER[region],
        "snapshot": _SNAPSHOT.get(region, ""),
        "beanstalk": _BEANSTALK_SUFFIX.get(region, ""),
        "distributor": f"aws-ssm-distributor-file-{region}"
        if region in _OTHER_DISTRIBUTOR
        else f"{region}-birdwatcher-prod",
    }
    return [
        family._replace(buckets=tuple(bucket.format(**names) for bucket in family.buckets))
        for family in _FAMILIES
    ]
