"""environment.yml, pyproject.toml and requirements.lock ask for the same."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PYPROJECT["optional-dependencies"]
DIRECT = [
    Requirement(line) for line in [*PYPROJECT["dependencies"], *EXTRAS["rehearsal"], *EXTRAS["dev"]]
]
ENVIRONMENT = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
PINNED = [
    Requirement(match.group().removesuffix("\\"))
    for match in re.finditer(r"^[\w.-]+==.*", LOCK, re.M)
]

# Where conda's name differs; its `matplotlib` adds a windowing toolkit to `matplotlib-base`.
CONDA_NAMES = {"jupyter-server": "jupyter_server", "matplotlib": "matplotlib-base"}
# What pip adds to the conda environment, and why.
WITH_PIP = {
    "boto3-stubs": "conda has no extras, and not all of these stubs",
    "dnslib": "conda-forge may be behind the bound",
    "moto": "conda has no extras, and may be behind the bound",
    "pyroute2": "for one platform only, which conda cannot say",
}


def test_conda_asks_for_the_same_packages_in_the_same_bounds() -> None:
    python, _, *listed = ENVIRONMENT["dependencies"][:-1]
    assert python == f"python {PYPROJECT['requires-python']}"
    assert sorted(listed) == sorted(
        f"{CONDA_NAMES.get(wanted.name, wanted.name)} {_bounds(wanted)}"
        for wanted in DIRECT
        if wanted.name not in WITH_PIP
    )


def test_pip_adds_the_rest_and_the_project_last() -> None:
    *listed, project = ENVIRONMENT["dependencies"][-1]["pip"]
    assert project == "-e ."
    assert {str(Requirement(line)) for line in listed} == {
        str(wanted) for wanted in DIRECT if wanted.name in WITH_PIP
    }


def test_conda_environment_takes_no_default_channel() -> None:
    assert ENVIRONMENT["name"] == PYPROJECT["name"]
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda wanted: wanted.name)
def test_lock_pins_each_direct_dependency_within_its_bounds(wanted: Requirement) -> None:
    pins = [pin for pin in PINNED if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
    assert pins, f"requirements.lock lacks {wanted.name}"
    for pin in pins:
        (version,) = (specifier.version for specifier in pin.specifier)
        assert wanted.specifier.contains(version), f"{pin} is outside {wanted}"


def test_lock_has_one_version_of_everything_for_this_machine() -> None:
    environment = {key: str(value) for key, value in default_environment().items()}
    names = [pin.name for pin in PINNED if not pin.marker or pin.marker.evaluate(environment)]
    assert len(names) == len(set(names))


def test_every_pin_of_the_lock_has_hashes() -> None:
    assert len(re.findall(r"^[\w.-]+==.*\\\n    --hash=sha256:", LOCK, re.M)) == len(PINNED)


def test_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|-f|--(?!hash=sha256:))", LOCK, re.M)


def _bounds(wanted: Requirement) -> str:
    """The bounds in the order in which people write them: lower, then upper."""
    return ",".join(sorted(map(str, wanted.specifier), reverse=True))
