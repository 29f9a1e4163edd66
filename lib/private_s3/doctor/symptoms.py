"""Knows what goes wrong with a private path to S3: what one sees, why it is so, what mends it."""

from __future__ import annotations

from typing import NamedTuple

# Of the parameters: the command line puts the options there that it was given.
FILE = "-f PARAMETERS"
PLAN = f"private-s3 plan {FILE}"
OTHER_WAYS_IN = "or have step 50 ask by ssh or by hand (-p check_by=ssh, or -p check_by=manual)"


class Symptom(NamedTuple):
    """One kind of failure. `fix` has places, as {route_table}, for what a finding knows."""

    number: int
    name: str
    title: str
    sees: str
    cause: str
    fix: str


_ALL = (
    Symptom(
        1,
        "no-route",
        "no route to S3",
        'every request hangs, and ends with "Connect timeout on endpoint URL"',
        "the route table that the subnet really follows - its own, or else the VPC's main one - "
        "has no route to S3",
        f"{PLAN}: the plan puts {{route_table}} on the S3 gateway endpoint of {{vpc}}, or makes "
        "one",
    ),
    Symptom(
        2,
        "security-group",
        "the security groups let nothing out to S3",
        "the same timeout, with the route in place",
        "no rule of the instance's security groups lets TCP 443 out to the addresses of S3",
        "aws ec2 authorize-security-group-egress --region {region} --group-id {group} "
        "--ip-permissions "
        "'IpProtocol=tcp,FromPort=443,ToPort=443,PrefixListIds=[{{PrefixListId={prefix_list}}}]'",
    ),
    Symptom(
        3,
        "network-acl",
        "the network ACL stops S3",
        "the same timeout, with route and security groups in place",
        "the subnet's network ACL, which cannot name a prefix list, does not let TCP 443 out to "
        "every address of S3, or the answers back in to the ports 1024-65535",
        "for each range of {prefix_list} ({ranges}): aws ec2 create-network-acl-entry --region "
        "{region} --network-acl-id {acl} --egress --rule-number NUMBER --protocol tcp "
        "--port-range From=443,To=443 --cidr-block RANGE --rule-action allow; and for the answers "
        "the same with --ingress and From=1024,To=65535; each NUMBER below those that deny",
    ),
    Symptom(
        4,
        "global-host-name",
        "the command asks S3 of another Region",
        'a timeout on "https://BUCKET.s3.amazonaws.com", or on a host of another Region',
        "no Region is set where the command runs, or a wrong one: the old host name without a "
        "Region stands for us-east-1, whose addresses are not behind this endpoint",
        "on the instance: aws configure set region {region}, or --region {region} with each "
        "command; programs that still use the old name need "
        "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT=regional besides",
    ),
    Symptom(
        5,
        "other-region",
        "the bucket is in another Region",
        "a timeout although everything in the VPC is right",
        "a gateway endpoint serves the buckets of its own Region only",
        "use a bucket in {region}, or a copy of this one there (S3 Replication keeps it so); the "
        "endpoint of {region} will never lead to {bucket_region}",
    ),
    Symptom(
        6,
        "no-dns",
        "the names of S3 lead nowhere",
        '"Could not connect to the endpoint URL", or a name that is not resolved',
        "the VPC answers no DNS questions, or another endpoint has taken the names of S3 over",
        "aws ec2 modify-vpc-attribute --region {region} --vpc-id {vpc} --enable-dns-support; a "
        "resolver of your own must answer with S3's public addresses",
    ),
    Symptom(
        7,
        "longer-prefix",
        "a more specific route takes S3's traffic away",
        "a timeout, or traffic to S3 that leaves by a NAT or internet gateway, though the route "
        "to the endpoint is there",
        "a static route for a part of S3's addresses is as specific as the prefix list, or more",
        "aws ec2 delete-route --region {region} --route-table-id {route_table} {destination}",
    ),
    Symptom(
        8,
        "second-endpoint",
        "the route table is served already",
        '"RouteAlreadyExists" when an endpoint is made or changed',
        "a route table takes one S3 gateway endpoint, and another one serves it",
        f"use the endpoint that is there ({{endpoint}}): {PLAN} finds it and adds only what is "
        "missing",
    ),
    Symptom(
        9,
        "route-by-hand",
        "the route belongs to the endpoint",
        "the route to the prefix list cannot be made, changed or deleted, and other tools report "
        "it as drift",
        "EC2 keeps the route of a gateway endpoint itself; the calls for routes do not touch it",
        "change the endpoint instead: aws ec2 modify-vpc-endpoint --region {region} "
        "--vpc-endpoint-id {endpoint} --add-route-table-ids or --remove-route-table-ids "
        "{route_table}; let other tools pass over routes from pl- to vpce-",
    ),
    Symptom(
        10,
        "connections-reset",
        "open connections were cut",
        "transfers that were running break off at the moment of the change",
        "when an endpoint is put on a route table, EC2 drops the connections to S3 that are open",
        "start the transfer again; choose a window for the change, and warn whoever shares "
        "{route_table}",
    ),
    Symptom(
        11,
        "source-ip",
        "a statement goes by public addresses",
        "403 from the very moment at which the endpoint serves",
        "a policy goes by aws:SourceIp, which no request through an endpoint has",
        "have {statement} of the {policy} take aws:SourceVpce {endpoint} or aws:VpcSourceIp "
        "beside aws:SourceIp",
    ),
    Symptom(
        12,
        "wrong-endpoint-id",
        "the bucket policy waits for another endpoint",
        '403 "with an explicit deny in a resource-based policy", perhaps for those too who want '
        "to read or mend the policy",
        "a statement denies all that does not come through an endpoint which is not this one",
        "put {endpoint} into {statement} of the bucket policy of {bucket}, and let it deny data "
        "only. If nobody else may: root of the account can still read and put the policy (aws "
        "s3api get-bucket-policy, put-bucket-policy --bucket {bucket})",
    ),
    Symptom(
        13,
        "stale-endpoint-id",
        "the bucket policy names an endpoint that is gone",
        "everybody is denied after an endpoint was deleted or made anew",
        "the new endpoint has a new id, and the policy still has the old one",
        f"put {{endpoint}} into {{statement}} of the bucket policy of {{bucket}}; if this project "
        f"made the statement, {PLAN} does so. Next time take the policy back before the endpoint, "
        "as private-s3 undo does",
    ),
    Symptom(
        14,
        "endpoint-policy",
        "the endpoint's policy keeps the bucket back",
        '403 "because no VPC endpoint policy allows" the action',
        "the policy of the gateway endpoint does not let these requests through",
        "have the policy of {endpoint} allow s3:ListBucket on arn:aws:s3:::{bucket}, and "
        "s3:GetObject, s3:PutObject and s3:DeleteObject on arn:aws:s3:::{bucket}/*: aws ec2 "
        "modify-vpc-endpoint --region {region} --vpc-endpoint-id {endpoint} --policy-document "
        "file://POLICY.json, or --reset-policy for AWS's own, which allows all",
    ),
    Symptom(
        15,
        "aws-buckets",
        "the endpoint's policy keeps the buckets of AWS back",
        "403 for yum or dnf, patches, ECR layers or cfn-signal, while the bucket itself answers",
        "packages, agents and images come from buckets of AWS, which the policy does not allow",
        "have the policy of {endpoint} allow s3:GetObject on arn:aws:s3:::{owned}/* besides: aws "
        "ec2 modify-vpc-endpoint --region {region} --vpc-endpoint-id {endpoint} --policy-document "
        "file://POLICY.json",
    ),
    Symptom(
        16,
        "not-managed",
        "Systems Manager does not reach the instance",
        '"InvalidInstanceId", or a command that stays Pending',
        "the agent has no way to ssm and ssmmessages, its role may not report, or it is not "
        "running",
        "give {vpc} interface endpoints for ssm and ssmmessages with private DNS, open to the "
        "instance on port 443, and its role AmazonSSMManagedInstanceCore; " + OTHER_WAYS_IN,
    ),
    Symptom(
        17,
        "only-s3",
        "only S3 has a path",
        "aws sts get-caller-identity, aws ec2 and other commands hang on the instance",
        "a gateway endpoint leads to S3 and to nothing else",
        "take S3 itself for a test (aws s3 ls s3://{bucket} --region {region}) and the metadata "
        "service for who the instance is; a command of {service} needs an interface endpoint for "
        "it",
    ),
    Symptom(
        18,
        "wrong-arns",
        "the role does not allow it",
        '403 "because no identity-based policy allows" the action; or aws s3 ls is denied, while '
        "aws s3 ls s3://BUCKET works",
        "s3:ListBucket is allowed on the bucket's ARN, reading and writing on the ARN with /*, "
        "and listing all buckets (s3:ListAllMyBuckets) on * only",
        "have the role {role} allow s3:ListBucket on arn:aws:s3:::{bucket}, and s3:GetObject, "
        "s3:PutObject and s3:DeleteObject on arn:aws:s3:::{bucket}/*; name the bucket in commands "
        "(aws s3 ls s3://{bucket})",
    ),
    Symptom(
        19,
        "head-without-reason",
        "HEAD does not say why",
        '"An error occurred (403) when calling the HeadObject operation: Forbidden", and no more',
        "the answer to a HEAD has no body to hold a reason; and a key that does not exist is 403 "
        "to those who may not list the bucket",
        "ask in a way that is answered: aws s3 ls s3://{bucket}/ --region {region}, and aws s3api "
        "get-object --bucket {bucket} --key KEY /dev/null",
    ),
    Symptom(
        20,
        "kms-key",
        "the key of the bucket is not for the role",
        "403 that names kms:Decrypt or kms:GenerateDataKey, while listing works",
        "the objects are encrypted with a KMS key that the role may not use",
        "have the policy of the key {key} and the role {role} allow kms:Decrypt and "
        "kms:GenerateDataKey, not by aws:SourceVpce but by kms:ViaService "
        "s3.{region}.amazonaws.com, since it is S3 that asks the key",
    ),
    Symptom(
        21,
        "public-policy",
        "Block Public Access refuses the policy",
        "PutBucketPolicy is denied, and BlockPublicPolicy is named",
        "an Allow for everybody counts as public, unless it is bound to fixed accounts, roles, "
        "addresses, VPCs or endpoints",
        f"name the role in the Allow, and put conditions on instances into a Deny: {PLAN} with "
        "restrict_to writes such statements",
    ),
    Symptom(
        22,
        "shared-role",
        "others have the same role",
        "an instance that is not meant to reads the bucket",
        "the policy goes by the role, and the role is given to more than one",
        f"{PLAN} -p restrict_to=instance",
    ),
    Symptom(
        23,
        "copied-credentials",
        "credentials of the instance work elsewhere",
        "keys copied from the instance are taken from other hosts behind the endpoint",
        "the policy asks which way a request came, and not whose keys it was signed with",
        f"{PLAN} -p restrict_to=instance-origin",
    ),
    Symptom(
        24,
        "services-denied",
        "a Deny forgets the services of AWS",
        "log delivery, replication or Athena stop when the policy is put",
        "services come from AWS's own network, never through an endpoint, and the statement does "
        "not spare them",
        "add to {statement} of the bucket policy of {bucket}: "
        '"BoolIfExists": {{"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}}',
    ),
    Symptom(
        25,
        "deny-never-fires",
        "a Deny never applies",
        "requests pass that a statement seems to deny",
        "ForAnyValue is false when the request does not have the key, and whoever comes from "
        "elsewhere does not have it",
        "write {operator} without ForAnyValue in {statement} of the bucket policy of {bucket}: "
        f"the plain operator also holds for requests without the key; or {PLAN} with restrict_to",
    ),
    Symptom(
        26,
        "peered-client",
        "the endpoint serves its own VPC only",
        "clients behind peering, a VPN or a transit gateway still cannot reach the bucket",
        "a gateway endpoint is a route of one VPC, and does not extend beyond it",
        "give them an interface endpoint for S3; in a shared VPC its owner makes the endpoint",
    ),
    Symptom(
        27,
        "statements-lost",
        "statements of others are gone",
        "what others had in the bucket policy does not work any more",
        "putting a bucket policy replaces the whole of it, and S3 compares nothing",
        f"put their statements back from the plan of the change; {PLAN} merges, and compares "
        "before it writes",
    ),
    Symptom(
        28,
        "not-yet-in-effect",
        "it has not taken effect everywhere",
        "answers change to and fro right after a change",
        "IAM and S3 take a while until a new policy counts everywhere",
        "wait a minute and ask again; step 50 does so by itself (settle_seconds)",
    ),
)
SYMPTOMS: dict[int, Symptom] = {symptom.number: symptom for symptom in _ALL}


class _Places(dict[str, str]):
    """What is not known is named in capitals, as in a manual."""

    def __missing__(self, name: str) -> str:
        return name.upper()


def fix(number: int, **known: str) -> str:
    """How to mend it, with what is known put in its place."""
    given = _Places({name: value for name, value in known.items() if value})
    return SYMPTOMS[number].fix.format_map(given)
