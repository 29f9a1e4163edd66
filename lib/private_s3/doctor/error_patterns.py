"""Holds the words by which an error is known, and the parts of what it says."""

from __future__ import annotations

import re

# In every pattern what may repeat is bounded: the text may be anything.
_TIMEOUT = (
    r"(?:Connect|Read) timeout on endpoint URL|(?:Connect|Read)TimeoutError|\btimed out\b"
    r"|curl: \(28\)|Curl error \(28\)|Timeout was reached|i/o timeout|handshake timeout"
)
_NO_CONNECTION = (
    r"Could not connect to the endpoint URL|(?i:could not resolve host)|(?:curl: |Curl error )\(6\)"
    r"|Name or service not known|(?i:temporary failure in name resolution)|no such host"
    r"|NameResolutionError|getaddrinfo failed|EndpointConnectionError"
)
_DENIED = (
    r"AccessDenied|Access Denied|UnauthorizedOperation|not authorized to perform|\(403\)"
    r"|(?:error|[Ss]tatus ?[Cc]ode|ERROR):? {0,2}403|403:? Forbidden|HTTP Error 403"
)
_CUT = (
    r"Connection was closed before we received|Connection reset by peer|ConnectionClosedError"
    r"|ConnectionResetError|curl: \(5[26]\)"
)
_BY_HAND = (
    r"(?i:cannot (?:remove|create|replace|modify)[\w ]{0,40} (?:VPC endpoint|prefix list) route)"
    r"|(?:Create|Replace|Delete)Route operation.{0,300}(?:vpce-|[Ee]ndpoint|pl-[0-9a-f]{8})"
)
# By text, the first that is found in an error: kind, pattern, and the symptoms that show so. Not
# anchored: lines of the AWS CLI 2 may begin with "aws: [ERROR]:", those of logs with more.
_RULES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("key", r"authorized to perform:? ?kms:\w+|\(KMS\.\w+\)|KMS\.\w+Exception", (20,)),
    ("public policy", r"BlockPublicPolicy|public (?:bucket )?policies are", (21,)),
    ("served already", r"RouteAlreadyExists|already has a route with destination-prefix", (8,)),
    ("route of an endpoint", _BY_HAND, (9,)),
    (
        "not managed",
        r"InvalidInstanceId\b|TargetNotConnected|Delivery ?Timed ?Out|\bUndeliverable\b"
        r"|\"Status(?:Details)?\": ?\"(?:Pending|Delayed)\"",
        (16,),
    ),
    ("no Region", r"You must specify a region|NoRegionError|Missing ?Region", (4,)),
    (
        "another Region",
        r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|\(301\)",
        (5, 4),
    ),
    ("proxy", r"Failed to connect to proxy|ProxyConnectionError|curl: \(5\)|Proxy Auth", ()),
    ("no credentials", r"Unable to locate credentials|NoCredentialProviders|ExpiredToken", ()),
    ("clock", r"RequestTimeTooSkewed|RequestExpired|Signature expired", ()),
    ("certificate", r"SSL validation failed|CERTIFICATE_VERIFY_FAILED|curl: \(60\)", ()),
    ("denied", _DENIED, (18, 14, 12)),
    ("timeout", _TIMEOUT, (1, 2, 3, 7, 5)),
    ("no connection", _NO_CONNECTION, (6,)),
    ("refused", r"Connection refused|curl: \(7\)|No route to host|Network is unreachable", ()),
    ("connection cut", _CUT, (10,)),
)
RULES = [(kind, re.compile(pattern), symptoms) for kind, pattern, symptoms in _RULES]
# Where an error begins, also within a line: JSON and logs put several into one.
BEGINNING = re.compile(
    r"(?=An error occurred \(|(?:Connect|Read) timeout on endp|Could not connect to the endpoint"
    r"|curl: \(\d|fatal error: |(?:down|up)load failed: )"
)
# As terminals and JSON write line ends and quotation marks.
ESCAPED = {"\r\n": "\n", "\r": "\n", "\\r\\n": "\n", "\\n": "\n", '\\"': '"'}
SERVED = "An error occurred ("
# The last words of what S3 says; before them, a line that goes on is no error of its own.
END = re.compile(r"^(?:policy|boundary|action|Forbidden|Denied|Found|exist|Access)[.\"')]*$")
_REGION = r"[a-z]{2}(?:-[a-z]{1,12}){1,3}-\d"
_DOMAIN = r"\.amazonaws\.com(?:\.cn)?"
HOST = re.compile(
    rf"\b((?:[a-z0-9-]{{1,63}}\.){{0,14}}[a-z0-9-]{{1,63}}{_DOMAIN})\b|//([A-Za-z0-9.-]{{1,253}})"
)
S3 = re.compile(
    rf"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{{0,62}}?)\.)?(?:vpce-[\w-]{{1,60}}\.)?s3(?:-fips)?"
    rf"(?:[.-](?:dualstack\.)?(?P<region>{_REGION}))?(?:\.vpce)?{_DOMAIN}"
)
SERVICE = re.compile(rf"(?:.{{1,100}}\.)?([a-z0-9-]{{2,40}})(?:\.({_REGION})){_DOMAIN}")
WORLDWIDE = re.compile(rf"([a-z0-9-]{{2,40}}){_DOMAIN}")
PATH_STYLE = re.compile(rf"{_DOMAIN}/([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(?=[/?\"])")
ARN = re.compile(r"arn:aws[a-z-]{0,10}:s3:::([a-z0-9][a-z0-9.-]{2,62})")
ACTION = re.compile(r"authorized to perform:? ?([\w-]{1,40}:\w{1,60})")
OPERATION = re.compile(r"when calling the (\w{1,60}) operation|operation error \w{1,40}: (\w+)")
# Source: Amazon S3 User Guide, "Troubleshoot access denied (403 Forbidden) errors".
LAYER = re.compile(
    r"(?:explicit deny in an? |no )(VPC endpoint policy|resource-based policy|"
    r"identity-based policy|permissions boundary|session policy|service control policy|"
    r"resource control policy)"
)
OF_LAYER = {
    "VPC endpoint policy": ("endpoint policy", (14,)),
    "resource-based policy": ("bucket policy", (12, 13, 11)),
    "identity-based policy": ("role", (18,)),
}
# Buckets of AWS that instances need. Sources: AWS Systems Manager User Guide, "SSM Agent
# communications with AWS managed S3 buckets"; Amazon Linux 2023 and Amazon ECR User Guides.
OF_AWS = re.compile(
    rf"al2023-repos-|amazonlinux|(?:repo|packages)\.{_REGION}\.amazonaws|aws-ssm-|amazon-ssm-"
    r"|birdwatcher-prod|patch-baseline-snapshot-|aws-patch-manager-|aws-windows-downloads-"
    r"|starport-layer-bucket|cloudformation-(?:waitcondition|custom-resource-response)-"
    r"|aws-codedeploy-|amazoncloudwatch-agent"
)
# Programs that do not sign what they ask for, as packages are asked for.
UNSIGNED = re.compile(r"\b(?:yum|dnf|repomd\.xml|mirror\.?list|metadata for repo|curl: \(22\))")
AGENT = frozenset({"ssm", "ssmmessages", "ec2messages"})
