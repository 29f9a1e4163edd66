"""Parameters are refused before anything is asked of AWS, and the files say what the model says."""

from __future__ import annotations

import collections
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from private_s3.errors import BadInput
from private_s3.parameters import Parameters
from tests import PROJECT

FOLDER = PROJECT / "params"
FILES = ("example.yaml", "rehearsal.yaml")
GOOD: dict[str, Any] = yaml.safe_load((FOLDER / "rehearsal.yaml").read_text(encoding="utf-8"))


def schema() -> str:
    """The text of params/schema.json: what the model accepts, for editors."""
    return json.dumps(Parameters.model_json_schema(), indent=2, sort_keys=True) + "\n"


def write_schema() -> None:
    (FOLDER / "schema.json").write_text(schema(), encoding="utf-8")


def refusal(values: dict[str, Any]) -> BadInput:
    with pytest.raises(BadInput) as refused:
        Parameters.of(values)
    lines = str(refused.value).splitlines()
    assert lines[0] == "Could not use the parameters; AWS was not asked for anything."
    assert lines[2] == "Next: correct them; params/example.yaml explains each one"
    assert len(lines) == 3
    assert refused.value.exit_code == 2
    return refused.value


def test_schema_is_up_to_date() -> None:
    assert (FOLDER / "schema.json").read_text(encoding="utf-8") == schema()


def test_a_name_given_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("bucket: one-bucket\nbucket: another-bucket\n")
    with pytest.raises(BadInput, match="given twice: bucket"):
        Parameters.load(path)


@pytest.mark.parametrize("digits", ["\u0661" * 12, "\uff11" * 12])
def test_digits_of_other_scripts_are_no_account(digits: str) -> None:
    assert "expected_account" in refusal({**GOOD, "expected_account": digits}).answer


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in Parameters.model_fields.values())


@pytest.mark.parametrize("name", FILES)
def test_file_loads_and_writes_every_parameter_out(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    assert set(yaml.safe_load(text)) == set(Parameters.model_fields)
    assert not Parameters.load(FOLDER / name).applying


def test_example_quotes_ids_and_comments_every_block() -> None:
    text = (FOLDER / "example.yaml").read_text(encoding="utf-8")
    values = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert re.findall(r"\S*(?:i-[0-9a-f]{8}|vpc-[0-9a-f]{8}|\d{12})\S*", values) == [
        '"111122223333"',
        '"i-0123456789abcdef0"',
        '"vpc-0123456789abcdef0"',
    ]
    for block in text.split("\n\n"):
        assert block.startswith("#"), f"no comment before {block!r}"


@pytest.mark.parametrize(
    "name, value, accepted",
    [
        ("change_id", "Upper Case", "[a-z0-9]"),
        ("change_id", "../elsewhere", "[a-z0-9]"),
        ("change_id", "", "[a-z0-9]"),
        ("changes_dir", "", "at least 1 character"),
        ("region", "Frankfurt", "[a-z]{2}"),
        ("expected_account", 123456789012, "valid string"),
        ("expected_account", "12345678901", "[0-9]{12}"),
        ("role_arn", "network-operator", "arn:aws"),
        ("instance_ids", "i-0123456789abcdef0", "valid list"),
        ("vpc_id", "vpc-1234", "vpc-"),
        ("bucket", "s3://rehearsal", "3 to 63 of a-z, 0-9, hyphen and dot"),
        ("bucket", "Upper", "3 to 63"),
        ("bucket", "ab", "3 to 63"),
        ("bucket", "a" * 64, "3 to 63"),
        ("bucket", "two..dots", "3 to 63"),
        ("bucket", "-begins", "3 to 63"),
        ("bucket", "192.168.0.1", "3 to 63"),
        ("bucket", "rehearsal\n", "3 to 63"),
        ("endpoint_name", "", "[A-Za-z0-9]"),
        ("endpoint_policy", "everything", "full-access|bucket-only"),
        ("restrict_to", "instances", "'instance' or 'instance-origin'"),
        ("break_glass_role", "arn:aws:iam::123456789012:user/somebody", ":role/"),
        ("allow_services", "yes", "valid boolean"),
        ("must_work", "i-0123456789abcdef0", "valid list"),
        ("approved_plan", "ABCDEF012345", "[0-9a-f]{12}"),
        ("approved_plan", "abc", "[0-9a-f]{12}"),
        ("approved_plan", True, "valid string"),
        ("ticket", 1234, "valid string"),
    ],
)
def test_refusal_names_parameter_given_and_accepted(name: str, value: Any, accepted: str) -> None:
    answer = refusal({**GOOD, name: value}).answer
    assert answer.startswith(f"{name} = {value!r}: ")
    assert accepted in answer


@pytest.mark.parametrize("instance_id", ["app-1", "i-123", "i-0123456789ABCDEF0", "vpc-0123456789"])
def test_refusal_of_an_instance_id_names_which_one(instance_id: str) -> None:
    answer = refusal({**GOOD, "instance_ids": ["i-0123456789abcdef0", instance_id]}).answer
    assert answer.startswith(f"instance_ids.1 = {instance_id!r}: ")
    assert "i-[0-9a-f]{8,17}" in answer


@pytest.mark.parametrize("name", ["change_id", "region", "expected_account", "bucket"])
def test_missing_parameter_is_named(name: str) -> None:
    values = {key: value for key, value in GOOD.items() if key != name}
    assert refusal(values).answer == f"{name} is missing"


def test_unknown_parameter_is_named() -> None:
    assert refusal({**GOOD, "aproved_plan": "x"}).answer == "aproved_plan is not a parameter"


def test_one_of_the_two_names_of_an_instance_is_needed() -> None:
    answer = refusal({**GOOD, "instance_name": ""}).answer
    assert answer == "instance_ids or instance_name must name an instance"


def test_every_fault_is_named_at_once() -> None:
    answer = refusal({**GOOD, "bucket": "B", "region": "here", "colour": "blue"}).answer
    assert [part.split()[0] for part in answer.split("; ")] == ["region", "bucket", "colour"]


def test_approved_digest_makes_a_pass_that_may_change_things() -> None:
    assert Parameters.of({**GOOD, "approved_plan": "0123456789ab"}).applying


def test_notebook_names_that_are_no_values_are_not_parameters() -> None:
    namespace = {
        **GOOD,
        "In": [""],
        "Out": {},
        "_": "",
        "_i1": "region = ''",
        "__name__": "__main__",
        "yaml": yaml,
        "schema": schema,
        "Parameters": Parameters,
        "Counter": collections.Counter,
        "exit": object(),
        "nothing": None,
    }
    assert Parameters.from_notebook(namespace) == Parameters.of(GOOD)


@pytest.mark.parametrize("value", ["0123456789ab", True, 1, 1.5, ["x"], {"x": 1}])
def test_misspelt_name_injected_into_a_notebook_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match="aproved_plan is not a parameter"):
        Parameters.from_notebook({**GOOD, "In": [], "Out": {}, "aproved_plan": value})


def test_load_replaces_some_parameters() -> None:
    changed = Parameters.load(FOLDER / "rehearsal.yaml", {"approved_plan": "0123456789ab"})
    assert changed.applying
    with pytest.raises(BadInput, match="aproved is not a parameter"):
        Parameters.load(FOLDER / "rehearsal.yaml", {"aproved": "0123456789ab"})


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "only words", "a: [1", "1: one\n", "\tbucket: x\n", "\x00"]
)
def test_file_that_is_no_list_of_parameters_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        Parameters.load(path)
    lines = str(refused.value).splitlines()
    assert lines[0] == f"Could not read the parameters in {path}."
    assert lines[2] == "Next: give a YAML file like params/example.yaml"
    assert len(lines) == 3


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml"):
        Parameters.load(tmp_path / "none.yaml")
