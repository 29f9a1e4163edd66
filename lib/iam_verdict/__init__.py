"""Decides whether AWS would allow one request, from the policies and the request's context."""

from iam_verdict.decision import decide
from iam_verdict.documents import Document, Policy, PolicyError, Statement, parse
from iam_verdict.principals import Principal
from iam_verdict.public import is_public, public_statements
from iam_verdict.verdict import Decision, Layer, Policies, Request, StatementReference, Verdict

# What an endpoint allows that was created without a policy.
FULL_ACCESS: Document = {
    "Version": "2008-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}

__all__ = [
    "FULL_ACCESS",
    "Decision",
    "Document",
    "Layer",
    "Policies",
    "Policy",
    "PolicyError",
    "Principal",
    "Request",
    "Statement",
    "StatementReference",
    "Verdict",
    "decide",
    "is_public",
    "parse",
    "public_statements",
]
