"""Faults planted in iam_verdict: the recorded cases or the unit tests must find each."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import PROJECT
from tests.support.oracle import corpus

PACKAGE = PROJECT / "lib/iam_verdict"
RECORDED, UNIT_TESTS = "the recorded cases", "the unit tests"


@dataclass(frozen=True)
class Mutant:
    """A fault: a text of a module, which is there once, and what stands there instead."""

    module: str
    old: str
    new: str
    fault: str
    judge: str = RECORDED  # what finds it

    def __str__(self) -> str:
        return self.fault

    def original(self) -> str:
        """The module as it is."""
        return (PACKAGE / f"{self.module}.py").read_text()

    def mutated(self) -> str:
        """The module with the fault in it."""
        source = self.original()
        assert source.count(self.old) == 1, f"{self.module}: {self.old!r} is not there once"
        return source.replace(self.old, self.new)


def is_found(judge: str, module: str, source: str, folder: Path) -> bool:
    """Whether a judge finds a fault in the source of a module."""
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / f"{module}.py").write_text(source)
    return _by_cases(folder) if judge == RECORDED else _by_unit_tests(folder)


def _by_cases(folder: Path) -> bool:
    with imported(folder) as package:
        try:
            return any(corpus.differences(package))
        except TypeError:  # a fault that makes nonsense of the values
            return True


def _by_unit_tests(folder: Path) -> bool:
    options = ["-qx", "--noconftest", "-p", "no:cacheprovider", "-o", "addopts="]
    command = [sys.executable, "-m", "pytest", *options, "tests/unit/iam_verdict"]
    # The plugins take longer to load than the tests to run.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=False)
    return done.returncode != 0


@contextmanager
def imported(folder: Path) -> Iterator[Any]:
    """The package as it is in this folder; everybody else goes on with the original."""
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE.name]
    originals = {name: sys.modules.pop(name) for name in names}
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(PACKAGE.name)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE.name]:
            del sys.modules[name]
        sys.modules |= originals


MUTANTS = [
    # conditions
    Mutant("conditions", '"StringNotEquals": (_text("exact"), True)',
           '"StringNotEquals": (_text("exact"), False)', "StringNotEquals is StringEquals"),
    Mutant("conditions", '"StringEqualsIgnoreCase": (_text("exact", any_case=True)',
           '"StringEqualsIgnoreCase": (_text("exact")', "StringEqualsIgnoreCase minds case"),
    Mutant("conditions", '"StringEquals": (_text("exact")', '"StringEquals": (_text("wildcard")',
           "StringEquals knows wildcards"),
    Mutant("conditions", '"StringLike": (_text("wildcard")', '"StringLike": (_text("exact")',
           "StringLike knows no wildcards"),
    Mutant("conditions", '"StringNotLike": (_text("wildcard")', '"StringNotLike": (_text("exact")',
           "StringNotLike knows no wildcards"),
    Mutant("conditions", '"ArnEquals": (_text("arn")', '"ArnEquals": (_text("exact")',
           "ArnEquals knows no wildcards"),
    Mutant("conditions", '"ArnLike": (_text("arn")', '"ArnLike": (_text("wildcard")',
           "ArnLike lets a star cross colons"),
    Mutant("conditions", '"LessThan": lt', '"LessThan": le', "less than is at most"),
    Mutant("conditions", '"GreaterThanEquals": ge', '"GreaterThanEquals": gt',
           "at least is more than"),
    Mutant("conditions", '"GreaterThan": gt', '"GreaterThan": lt', "more is less"),
    Mutant("conditions", "compare(read(given), limit)", "compare(limit, read(given))",
           "comparisons are turned round"),
    Mutant("conditions", "            except ValueError:\n                return False",
           "            except ValueError:\n                return True",
           "what is malformed fits", UNIT_TESTS),
    Mutant("conditions", "    return number\n", "    return Decimal(int(number))\n",
           "numbers lose their fraction"),
    Mutant("conditions", "tzinfo=date.tzinfo or UTC", "tzinfo=UTC", "dates lose their offset"),
    Mutant("conditions", '    return text.lower() == "true"', '    return text == "true"',
           "Bool minds case"),
    Mutant("conditions", '"Bool": (_comparison(_boolean, eq), False)',
           '"Bool": (_comparison(_boolean, eq), True)', "Bool is negated"),
    Mutant("conditions", '"BinaryEquals": (_comparison(_binary, eq), False)',
           '"BinaryEquals": (_comparison(_binary, ge), False)', "BinaryEquals orders"),
    Mutant("conditions", '"NotIpAddress": (_comparison(ip_address, _within, _range), True)',
           '"NotIpAddress": (_comparison(ip_address, _within, _range), False)',
           "NotIpAddress is IpAddress"),
    Mutant("conditions", 'given = ("false",) if given else ("true",)',
           'given = ("true",) if given else ("false",)', "Null is turned round"),
    Mutant("conditions", ' and self.operator.quantifier != "ForAnyValue":\n            return True',
           ":\n            return True", "IfExists makes ForAnyValue true on an absent key"),
    Mutant("conditions", ' != "ForAnyValue":\n            return True',
           ' != "ForAnyValue":\n            return False', "IfExists is false on an absent key"),
    Mutant("conditions", "return every(fits) if self._every else either(fits)",
           "return either(fits)", "one of the values is always enough"),
    Mutant("conditions", "operator.negated and not operator.quantifier", "operator.negated",
           "ForAnyValue asks all values of a negated operator"),
    Mutant("conditions", 'operator.quantifier == "ForAllValues" or (', "(",
           "ForAllValues asks for one value"),
    Mutant("conditions", "found = either(matcher(value", "found = every(matcher(value",
           "all values of the policy must fit"),
    Mutant("conditions", "return negate(found) if self.operator.negated else found", "return found",
           "negated operators are not"),
    # context
    Mutant("context", "name.lower(): (value,)", "name: (value,)", "given keys mind case"),
    Mutant("context", "self._values.get(key.lower(), ())", "self._values.get(key, ())",
           "asked keys mind case"),
    Mutant("context", "key.lower() not in self._unknown", "key not in self._unknown",
           "unknown keys mind case", UNIT_TESTS),
    Mutant("context", "return unknown or False", "return False",
           "what is not known is false", UNIT_TESTS),
    Mutant("context", "return negate(either(map(negate, truths)))", "return either(truths)",
           "AND is OR"),
    # patterns
    Mutant("patterns", "                return null\n", "                return False\n",
           "NotResource applies without the variable's value"),
    Mutant("patterns", "source.append(re.escape(value))", 'source.append(value.replace("*", ".*"))',
           "wildcards in a variable's value count"),
    Mutant("patterns", "else self.default", "else None", "variables have no default"),
    Mutant("patterns", "values[0] if len(values) == 1 else", "values[0] if values else",
           "a key of several values is a variable", UNIT_TESTS),
    Mutant("patterns", 'anything = "[^:]" if', 'anything = "." if',
           "a star of an ARN crosses colons"),
    Mutant("patterns", "colons < _COLONS_OF_AN_ARN else", "colons <= _COLONS_OF_AN_ARN else",
           "a star of an ARN's last part stops at colons"),
    Mutant("patterns", 'anything if token == "?" else anything + "*"', 'anything + "*"',
           "? is any text"),
    Mutant("patterns", "self._constant.fullmatch(text)", "self._constant.match(text)",
           "a pattern fits a beginning"),
    Mutant("patterns", "re.DOTALL | (re.IGNORECASE", "0 | (re.IGNORECASE",
           "a star stops at line ends", UNIT_TESTS),
    Mutant("patterns", "return negate(found) if self.negated else found", "return found",
           "NotAction and NotResource are not negated"),
    Mutant("patterns", "return re.escape(token[2])", 'return re.escape(token[2]) + "*"',
           "an escaped character repeats", UNIT_TESTS),
    # documents
    Mutant("documents", 'variables = version == "2012-10-17"', "variables = True",
           "variables in every version", UNIT_TESTS),
    Mutant("documents", 'document.get("Version", _VERSIONS[0])',
           'document.get("Version", _VERSIONS[1])',
           "the later version where none is given", UNIT_TESTS),
    Mutant("documents", "variables=False, any_case=True", "variables=False", "actions mind case"),
    Mutant("documents", 'pattern(text, "wildcard", variables=variables)',
           'pattern(text, "wildcard", variables=variables, any_case=True)',
           "resources ignore case"),
    Mutant("documents", "if not self.actions.match(action, context):", "if False:",
           "actions do not count"),
    Mutant("documents", "        if about is False:\n            return False\n", "",
           "conditions of other resources' statements are asked", UNIT_TESTS),
    Mutant("documents", "for condition in self.conditions]", "for condition in ()]",
           "conditions do not count"),
    Mutant("documents", "negated=found != name", "negated=False", "Not forms are taken as plain"),
    Mutant("documents", 'negated=name == "NotPrincipal"', "negated=False",
           "NotPrincipal is Principal"),
    # principals
    Mutant("principals", "principal.session_arn in self.names or principal.service",
           "principal.service", "a session is not known by its ARN"),
    Mutant("principals", ' or principal.service in self.names', "", "services are not known"),
    Mutant("principals", 'return "role" if principal.kind == "role-session" else "direct"',
           'return "direct"', "nothing narrows what a role is granted"),
    Mutant("principals", 'return "role" if principal.kind == "role-session" else "direct"',
           'return "role"', "a boundary narrows what a user is granted"),
    Mutant("principals", 'return "direct" if principal.kind == "root" else "account"',
           'return "direct"', "naming the account is naming its users"),
    Mutant("principals", 'return "direct" if principal.kind == "root" else "account"',
           'return "account"', "an account is not its root", UNIT_TESTS),
    Mutant("principals", "None if not bounded and self._spares", "None if self._spares",
           "NotPrincipal spares who has a boundary"),
    Mutant("principals", "own <= self.names", "own & self.names",
           "NotPrincipal spares who is named without session", UNIT_TESTS),
    Mutant("principals", "return principal.account in self.accounts and (", "return (",
           "NotPrincipal spares who is named without account"),
    Mutant("principals", "            return self.everyone\n", "            return True\n",
           "NotPrincipal spares anonymous"),
    # decision
    Mutant("decision", "decides = opinion", 'decides = "session" not in opinion.layer and opinion',
           "a session policy denies nothing"),
    Mutant("decision", 'opinion.layer in ("service control policy", "VPC endpoint policy")',
           'opinion.layer == "service control policy"', "an endpoint policy need not allow"),
    Mutant("decision", 'opinion.layer in ("service control policy", "VPC endpoint policy")',
           'opinion.layer == "VPC endpoint policy"', "a service control policy need not allow"),
    Mutant("decision", 'opinion.layer in ("service control policy", "VPC endpoint policy")',
           'opinion.layer.endswith(("control policy", "VPC endpoint policy"))',
           "a resource control policy must allow"),
    Mutant("decision", '        if own_side[0] != "allowed":\n            return own_side\n', "",
           "a stranger needs no identity policy"),
    Mutant("decision", '        if own_side[0] != "allowed":\n            return own_side\n',
           "        return own_side\n", "a stranger needs no bucket policy"),
    Mutant("decision", "caller.account and caller.account == request.resource_account:",
           "caller.account:", "every account is the owner"),
    Mutant("decision", 'bucket.first("Allow", "direct")', 'bucket.first("Allow")',
           "naming the account grants"),
    Mutant("decision", 'limits: tuple[Layer, ...] = ("permissions boundary", "session policy")',
           'limits: tuple[Layer, ...] = ("session policy",)', "a boundary narrows nothing"),
    Mutant("decision", 'limits: tuple[Layer, ...] = ("permissions boundary", "session policy")',
           'limits: tuple[Layer, ...] = ("permissions boundary",)',
           "a session policy narrows nothing"),
    Mutant("decision", '        outcome = "allowed", "resource-based policy", to_role\n',
           '        return "allowed", "resource-based policy", to_role\n',
           "nothing narrows what the bucket grants a role"),
    Mutant("decision", '    return request.principal.kind == "root" and owner and is_policy_action',
           "    return False", "root cannot repair a bucket policy", UNIT_TESTS),
    Mutant("decision", '"root" and owner and is_policy_action', '"root" and is_policy_action',
           "every root can repair a bucket policy"),
    Mutant("decision", '"root" and owner and is_policy_action', '"root" and owner',
           "root may do whatever its bucket policy denies"),
    Mutant("decision", 'caller.kind != "service" and caller', "caller",
           "a public policy restricted is closed to services"),
    Mutant("decision", 'caller.kind != "service" and caller.account != request.resource_account',
           'caller.kind != "service"', "a public policy restricted is closed to its account"),
    Mutant("decision", 'decides = opinion.layer != ignored and opinion is not restrictions',
           "decides = opinion.layer != ignored", "Block Public Access denies what nothing allows"),
    Mutant("decision", "for level in policies.resource_control:",
           "for level in policies.resource_control if caller.account else ():",
           "resource control policies do not hold for anonymous"),
    Mutant("decision", "for level in policies.organization if caller.account else ():",
           "for level in policies.organization:",
           "service control policies hold for anonymous", UNIT_TESTS),
    Mutant("decision", "if _SERVICE_LINKED_ROLE not in caller.arn:", "if True:",
           "organization policies hold for service-linked roles", UNIT_TESTS),
    Mutant("decision", 'if layer == "VPC endpoint policy" and grant == "account":', "if False:",
           "an account in an endpoint policy is its users", UNIT_TESTS),
    Mutant("decision", 'opinion.supposing("Deny")', 'opinion.supposing("Allow")',
           "nothing depends on unknown keys", UNIT_TESTS),
    Mutant("decision", "bounded = has_policies and policies", "bounded = policies",
           "a boundary that is nobody's keeps NotPrincipal from sparing", UNIT_TESTS),
    Mutant("decision", 'for opinion in opinions:\n        decides',
           'for opinion in reversed(opinions):\n        decides',
           "the last deny is named", UNIT_TESTS),
    # public
    Mutant("public", 'statement.effect == "Deny" or', "", "a deny makes a policy public"),
    Mutant("public", "operator.if_exists or", "", "IfExists limits everyone", UNIT_TESTS),
    Mutant("public", " or condition.key.lower() not in _LIMITING_KEYS", "",
           "every key limits everyone"),
    Mutant("public", "operator.name not in _LIMITING_OPERATORS or", "",
           "every operator limits everyone", UNIT_TESTS),
    Mutant("public", "addresses.prefixlen >= (8", "addresses.prefixlen > (8",
           "a network of /8 is public", UNIT_TESTS),
    Mutant("public", '("*", "?", "${")', '("*", "?")', "variables are fixed values", UNIT_TESTS),
    Mutant("public", "return all(_is_fixed", "return any(_is_fixed",
           "one fixed value is enough", UNIT_TESTS),
]  # fmt: skip
