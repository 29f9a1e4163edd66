"""Makes findings of what the text of a command tells, alone or beside what the account shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from private_s3.doctor.diagnosis import Finding
from private_s3.doctor.error_text import Clue

# Where no Region is set, or none that S3 has there, the AWS CLI asks the S3 of this one.
DEFAULT_REGION = "us-east-1"
# What an error is that is none of the symptoms, and what to do about it.
OTHERS = {
    "proxy": ("a proxy stands between", "take HTTPS_PROXY out of the command's environment"),
    "no credentials": (
        "the command has no credentials",
        "give the instance a role (aws ec2 associate-iam-instance-profile), and see there that the "
        "metadata service answers",
    ),
    "clock": ("the clock is wrong", "set the clock of the instance (chronyc tracking shows it)"),
    "certificate": (
        "somebody else answers in S3's place",
        "have a proxy that looks into TLS leave S3 alone, or give the command its CA "
        "(AWS_CA_BUNDLE)",
    ),
    **dict.fromkeys(
        ("service control policy", "resource control policy"),
        (
            "a policy of the organization does not allow it",
            "have those who keep the organization look at its policies for {action}",
        ),
    ),
    "session policy": (
        "the session was given less than its role allows",
        "take the credentials of the role itself, without a session policy",
    ),
    "another permission": (
        "whoever ran this lacks a permission",
        "grant {action} to who is named there",
    ),
    "refused": (
        "something refuses the connection",
        "look on the instance for a firewall (nft list ruleset) and for another resolver: S3's "
        "addresses refuse nobody",
    ),
}


def alone(clues: Sequence[Clue]) -> list[Finding]:
    """Every cause that shows as the text does, the most likely first; nothing else is known."""
    found: dict[int | str, Finding] = {}
    for clue in clues:
        for symptom in clue.symptoms:
            known = {
                "bucket": "" if clue.of_aws else clue.bucket,
                "owned": clue.bucket,
                "service": clue.service,
                # Which one it should be, a text about the wrong one does not tell.
                "region": clue.region if symptom not in (4, 5) else "",
            }
            found.setdefault(symptom, Finding.of(symptom, clue.quote, **known))
        for other in of_the_instance([clue]):
            found.setdefault(other.title, other)
    return [*found.values()]


def of_the_instance(clues: Sequence[Clue]) -> Iterator[Finding]:
    """What the account does not show, since it is so on the instance, or with who asked."""
    for clue in clues:
        if clue.kind in OTHERS:
            title, fix = OTHERS[clue.kind]
            action = clue.action or "the action"
            yield Finding(None, title, clue.quote, fix.format(action=action))


def other_region(clues: Sequence[Clue], home: str, **known: str) -> Iterator[Finding]:
    """That S3 was asked in another Region than that of the bucket (symptom 4)."""
    for clue in clues:
        asked = clue.region or DEFAULT_REGION
        about_s3 = clue.service == "s3" and clue.kind in ("timeout", "no connection")
        unset = clue.kind == "no Region"
        if unset or (about_s3 and not clue.of_aws and asked != home):
            where = f"{clue.host} is of {asked}; " if clue.host else ""
            yield Finding.of(4, f"{where}the bucket is in {home}: {clue.quote}", **known)
            return


def only_s3(clues: Sequence[Clue], **known: str) -> Iterator[Finding]:
    """That another service was asked, to which nothing leads (symptom 17)."""
    for clue in clues:
        if 17 in clue.symptoms:
            text = f"{clue.host} is of {clue.service}, not of S3: {clue.quote}"
            yield Finding.of(17, text, service=clue.service, **known)
            return


def about_the_change(clues: Sequence[Clue], **known: str) -> Iterator[Finding]:
    """What strikes who makes the change, or in the moment of it (symptoms 8, 9, 10, 21)."""
    for symptom in (8, 9, 10, 21):
        for clue in clues:
            if symptom in clue.symptoms:
                yield Finding.of(symptom, clue.quote, **known)
                break


def first_of(clues: Sequence[Clue], symptom: int) -> Clue | None:
    """The first error that shows as this symptom does; None if none does."""
    return next((clue for clue in clues if symptom in clue.symptoms), None)
