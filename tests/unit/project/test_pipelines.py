"""The pipeline examples: what they call exists, what must be approved is, and nothing gets lost."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from private_s3.cli import main
from tests import PROJECT

FOLDER = PROJECT / "runbooks/pipelines"
GITHUB, GITLAB = FOLDER / "github-actions.yml", FOLDER / "gitlab-ci.yml"
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci"}
# YAML 1.1 reads GitHub's key `on` as a truth value.
ON: Any = True
DIGEST = "0123456789ab"

both = pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Job:
    """A job of either platform, as far as the checks ask for it."""

    name: str
    scripts: list[str]
    afterwards: list[str]  # run also when a script has failed
    needs: list[str]
    gated: bool
    role: str
    keeps_folder: bool  # also when a script has failed
    folder_of: list[str]  # the jobs whose change folder it goes on with
    digests: list[str]  # words of its scripts that stand for the digest of the plan job
    approver: str  # how a script finds out who has approved
    own: list[str] = field(default_factory=list)  # faults that only this platform can have


def load(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def jobs_of(path: Path, document: Mapping[Any, Any]) -> dict[str, Job]:
    return github_jobs(document) if path == GITHUB else gitlab_jobs(document)


# -- GitHub Actions -------------------------------------------------------------------------------


def github_jobs(document: Mapping[Any, Any]) -> dict[str, Job]:
    return {name: github_job(document, name) for name in document["jobs"]}


def github_job(document: Mapping[Any, Any], name: str) -> Job:
    job = document["jobs"][name]
    plan = document["jobs"]["plan"]
    runs = [step for step in job["steps"] if "run" in step]
    kept = uploads(job)
    return Job(
        name,
        scripts=[step["run"] for step in runs if "if" not in step],
        afterwards=[step["run"] for step in runs if step.get("if") == "always()"],
        needs=as_list(job.get("needs", [])),
        gated=bool(job.get("environment")),
        role=next((s["with"]["role-to-assume"] for s in uses(job, "configure-aws-")), ""),
        keeps_folder=bool(kept)
        and all(s.get("if") == "always()" and s["with"]["path"] == "changes/" for s in kept),
        folder_of=["plan"]
        if {s["with"]["name"] for s in uses(job, "download-artifact") if in_changes(s)}
        & {s["with"]["name"] for s in uploads(plan) if in_changes(s)}
        else [],
        digests=[f"${n}" for n, v in job.get("env", {}).items() if is_output_of(v, plan)],
        approver="/actions/runs/$GITHUB_RUN_ID/approvals",
        own=[*github_faults(job), *workflow_faults(document)],
    )


def uses(job: Mapping[str, Any], action: str) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if action in step.get("uses", "")]


def uploads(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    return uses(job, "upload-artifact")


def in_changes(step: Mapping[str, Any]) -> bool:
    return bool(step["with"]["path"] == "changes/")


def is_output_of(value: str, job: Mapping[str, Any]) -> bool:
    """Whether an expression is the digest that the step of a job took from `--digest-to`."""
    output = re.fullmatch(r"\$\{\{ needs\.plan\.outputs\.(\w+) \}\}", value)
    source = job.get("outputs", {}).get(output[1], "") if output else ""
    step = re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}", source)
    scripts = [one["run"] for one in job["steps"] if step and one.get("id") == step[1]]
    return any(hands_on(script, f"{step[2]}=", "$GITHUB_OUTPUT") for script in scripts if step)


def github_faults(job: Mapping[str, Any]) -> Iterator[str]:
    for step in job["steps"]:
        if "${{" in step.get("run", ""):
            yield "a script has text pasted into it by ${{ }}"
        if "uses" in step and not re.search(r"@[0-9a-f]{40}$", step["uses"]):
            yield f"{step['uses']} is not pinned to a commit"
        if "continue-on-error" in step:
            yield "a step may fail unnoticed"
        if "checkout" in step.get("uses", "") and step["with"]["persist-credentials"] is not False:
            yield "the token of the repository stays on disk"
    granted = set(job.get("permissions", {}).items())
    if ("id-token", "write") not in granted:
        yield "it cannot ask for credentials"
    if granted - {("id-token", "write"), ("contents", "read"), ("actions", "read")}:
        yield "it may more than it needs"


def workflow_faults(document: Mapping[Any, Any]) -> Iterator[str]:
    if document.get("permissions") != {}:
        yield "jobs get permissions that they do not name"
    concurrency = document.get("concurrency", {})
    if "${{ inputs.change " not in concurrency.get("group", ""):
        yield "two runs of one change may overlap"
    if concurrency.get("cancel-in-progress") is not False:
        yield "a running change may be cancelled"
    if set(document[ON]) - {"workflow_dispatch", "schedule"}:
        yield "something else than a person or a schedule starts it"


# -- GitLab ---------------------------------------------------------------------------------------


def gitlab_jobs(document: Mapping[Any, Any]) -> dict[str, Job]:
    jobs = {k: extended(document, k) for k in document if k in ("plan", "apply", "audit")}
    return {name: gitlab_job(jobs, name) for name in jobs}


def extended(document: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """A job with what it extends merged into it, as GitLab does it: maps deeply, lists whole."""
    job = copy.deepcopy(document[name])
    return merged(extended(document, job.pop("extends")), job) if "extends" in job else job


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {k: merged(under[k], over[k]) for k in under if isinstance(over.get(k), dict)}
    return {**under, **over, **both}


def gitlab_job(jobs: Mapping[str, dict[str, Any]], name: str) -> Job:
    job, plan = jobs[name], jobs["plan"]
    needs = [n if isinstance(n, dict) else {"job": n} for n in job.get("needs", [])]
    kept = job.get("artifacts", {})
    return Job(
        name,
        scripts=["\n".join([*job["before_script"], *job["script"]])],
        afterwards=["\n".join(job.get("after_script", []))],
        needs=[one["job"] for one in needs],
        gated=bool(job.get("environment"))
        and all(rule.get("when") == "manual" for rule in job["rules"]),
        role=job["variables"].get("AWS_ROLE_ARN", ""),
        keeps_folder=kept.get("when") == "always" and "changes/" in kept["paths"],
        folder_of=[
            one["job"]
            for one in needs
            if one.get("artifacts", True) and "changes/" in plan["artifacts"]["paths"]
        ],
        digests=dotenv_digests(plan),
        approver='"user_login"',
        own=list(gitlab_faults(job)),
    )


def dotenv_digests(plan: Mapping[str, Any]) -> list[str]:
    """What the plan job's dotenv report calls the digest that came from `--digest-to`."""
    report = plan["artifacts"].get("reports", {}).get("dotenv", "")
    script = "\n".join(plan["script"])
    names = re.findall(r'echo "(\w+)=', script)
    return [f"${name}" for name in names if report and hands_on(script, f"{name}=", report)]


def gitlab_faults(job: Mapping[str, Any]) -> Iterator[str]:
    if "$CHANGE" not in job.get("resource_group", ""):
        yield "two runs of one change may overlap"
    if not job.get("artifacts", {}).get("expire_in"):
        yield "it does not say how long the evidence is kept"
    if not job.get("id_tokens"):
        yield "it cannot ask for credentials"
    if any(rule.get("allow_failure") is not False for rule in job["rules"] if "when" in rule):
        yield "a pipeline whose approval is missing counts as passed"


# -- Both -----------------------------------------------------------------------------------------


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def hands_on(script: str, name: str, file: str) -> bool:
    """Whether a script writes what `--digest-to` gave it to a file, under that name."""
    source = re.search(r'--digest-to ("[^"]+"|\S+)', script)
    return bool(source) and any(
        re.search(rf'echo "{name}\$\(cat {re.escape(source[1])}\)" >>? "?{re.escape(file)}"?$', one)
        for one in script.splitlines()
        if source
    )


def commands(script: str) -> list[list[str]]:
    """The words after `private-s3`, of each call of it in a shell script."""
    script = re.sub(r"^\s*#.*$", "", script.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    found: list[list[str]] = []
    inside = False
    for word in lexer:
        if word == "private-s3" or word.endswith("/private-s3"):
            found.append([])
            inside = True
        elif set(word) <= set(";&|()<>\n"):
            inside = False
        elif inside:
            found[-1].append(word)
    return found


def command_fault(words: list[str]) -> str:
    """What the real command line has against these words; empty if nothing."""
    command = main.commands.get(words[0]) if words else None
    if command is None:
        return f"there is no private-s3 {' '.join(words[:1])}".strip()
    try:
        command.make_context(words[0], words[1:])  # reads the words, and runs nothing
    except click.UsageError as error:
        return f"private-s3 {words[0]}: {error.format_message()}"
    return ""


def calls(job: Job, name: str) -> list[list[str]]:
    """The words of each call of one subcommand in the scripts of a job."""
    return [words for script in job.scripts for words in commands(script) if words[:1] == [name]]


def faults(path: Path, document: Mapping[Any, Any]) -> set[str]:
    """What is wrong with a pipeline, in sentences."""
    jobs = jobs_of(path, document)
    plan, apply = jobs["plan"], jobs["apply"]
    found = {f"{job.name}: {fault}" for job in jobs.values() for fault in job_faults(job)}
    found |= {f"apply: {fault}" for fault in apply_faults(apply)}
    for job in jobs.values():
        if not job.gated and job.role == apply.role:
            found.add(f"{job.name}: it has the role to apply, and nobody approves it")
    if not any("--digest-to" in words for words in calls(plan, "plan")):
        found.add("plan: it does not hand on the digest")
    return found


def job_faults(job: Job) -> Iterator[str]:
    yield from job.own
    if not job.role:
        yield "it has no role"
    if not job.keeps_folder:
        yield "the change folder is lost when it fails"
    if not any(words[:1] == ["status"] for script in job.afterwards for words in commands(script)):
        yield "it does not show the journal when it fails"
    if calls(job, "apply") and not job.gated:
        yield "it applies what nobody has approved"
    if any(re.search(r"\|\|\s*(true|:)", script) for script in job.scripts):
        yield "a command may fail unnoticed"


def apply_faults(job: Job) -> Iterator[str]:
    text = "\n".join(job.scripts)
    approved, applied = calls(job, "approve"), calls(job, "apply")
    if job.needs != ["plan"]:
        yield "it does not wait for the plan"
    if job.folder_of != ["plan"]:
        yield "it does not have the change folder of the plan"
    if len(approved) != 1 or len(applied) != 1:
        yield "it is not one approval and one apply"
        return
    if {approved[0][1], applied[0][1]} - set(job.digests) or reassigned(job, text):
        yield "it may apply another digest than the planned one"
    order = [words[0] for script in job.scripts for words in commands(script)]
    if order.index("approve") > order.index("apply"):
        yield "it applies before it records the approval"
    source = re.search(r'^\s*approver="\$\((.*?)\)"$', text, re.MULTILINE | re.DOTALL)
    if "--by $approver" not in " ".join(approved[0]) or not source or job.approver not in source[1]:
        yield "it does not ask the platform who has approved"


def reassigned(job: Job, text: str) -> bool:
    return any(re.search(rf"\b{re.escape(word[1:])}=", text) for word in job.digests)


# -- What must hold -------------------------------------------------------------------------------


def schema_answer(text: str, path: Path, folder: Path) -> str:
    """What the schema of the platform of `path` has against a text; empty if nothing."""
    checked = folder / path.name
    checked.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", SCHEMAS[path], str(checked)])
    return done.output if done.exit_code else ""


def whole(path: Path, text: str) -> str:
    """The text with `extends` resolved: GitLab's schema does not look into what is extended."""
    if path == GITHUB:
        return text
    document = yaml.safe_load(text)
    jobs = {name: extended(document, name) for name in ("plan", "apply", "audit")}
    return yaml.safe_dump({k: jobs.get(k, v) for k, v in document.items() if k[0] != "."})


@both
def test_it_is_valid_by_the_schema_of_its_platform(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert schema_answer(text, path, tmp_path) == ""
    assert schema_answer(whole(path, text), path, tmp_path) == ""


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        (GITHUB, "runs-on:", "run-on:"),
        (GITHUB, "timeout-minutes:", "timeout:"),
        (GITHUB, "id-token: write", "id-token: yes please"),
        (GITHUB, "cron:", "corn:"),
        (GITLAB, "when: always", "when: allways"),
        (GITLAB, "when: manual", "when: manually"),
        (GITLAB, "resource_group:", "resource-group:"),
        (GITLAB, "      aud:", "      audience:"),
        (GITLAB, "dotenv: plan.env", "dotenvs: plan.env"),
    ],
)
def test_the_schema_finds_a_slip(path: Path, right: str, wrong: str, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert right in text
    assert schema_answer(whole(path, text.replace(right, wrong)), path, tmp_path).startswith(
        "Schema validation errors"
    )


def scripts(path: Path) -> list[str]:
    jobs = jobs_of(path, load(path)).values()
    return [script for job in jobs for script in [*job.scripts, *job.afterwards]]


@both
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_its_scripts_are_good_shell(path: Path, shell: str) -> None:
    for script in scripts(path):
        read = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert read.returncode == 0, f"{read.stderr}\n{script}"


@both
def test_every_call_is_one_that_the_command_line_takes(path: Path) -> None:
    called = [words for script in scripts(path) for words in commands(script)]
    # None is overlooked: as many as the text of the scripts has.
    assert len(called) == sum(len(re.findall(r"private-s3 (?=[a-z])", s)) for s in scripts(path))
    verbs = {"plan", "approve", "apply", "verify", "status", "audit"}
    assert {words[0] for words in called} == verbs
    assert [fault for words in called if (fault := command_fault(words))] == []


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("private-s3 aply x -f y", "there is no private-s3 aply"),
        (".venv/bin/private-s3 plan", "private-s3 plan: Missing option '-f' / '--file'."),
        ('private-s3 apply -f "$X"', "private-s3 apply: Missing argument 'DIGEST'."),
        ("private-s3 plan -f x --jest | tee y", "private-s3 plan: No such option '--jest'."),
        ("private-s3 apply $A B -f x", "private-s3 apply: Got unexpected extra argument (B)"),
        ("if a; then private-s3 apply \\\n  x; fi", "private-s3 apply: Missing option"),
    ],
)
def test_a_call_that_the_command_line_refuses_is_found(script: str, fault: str) -> None:
    (words,) = commands(script)
    assert command_fault(words).startswith(fault)


def test_calls_are_found_wherever_a_shell_has_them() -> None:
    script = 'a=1; if private-s3 one "$X Y" > z; then # \n  b/private-s3 two \\\n --c\nfi && echo'
    assert commands(script) == [["one", "$X Y"], ["two", "--c"]]


@both
def test_it_has_no_fault(path: Path) -> None:
    assert faults(path, load(path)) == set()


@both
def test_it_holds_no_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"secrets\.|AKIA|ASIA|SECRET_ACCESS_KEY|arn:aws|://", text)


@both
def test_its_header_says_what_to_set_up(path: Path) -> None:
    header = path.read_text(encoding="utf-8").split("\n\n")[0]
    names = {"private-s3-change", "PLAN_ROLE_ARN", "CHANGE_ROLE_ARN", "approval_valid_hours: 24"}
    assert {name for name in names if name not in header} == set()


# -- Planted faults -------------------------------------------------------------------------------

UNGATED = "apply: it applies what nobody has approved"
TAKES = "apply: it does not have the change folder of the plan"
OTHER_DIGEST = "apply: it may apply another digest than the planned one"
WHO = "apply: it does not ask the platform who has approved"
LOST = "the change folder is lost when it fails"
PASTED = "a script has text pasted into it by ${{ }}"

# The fault that must be found when a text of the file is another.
GITHUB_PLANTS = [
    ("apply: it does not wait for the plan", "    needs: plan\n", ""),
    (UNGATED, "    environment: private-s3-change\n", ""),
    (f"apply: {LOST}", "if: always()\n        uses", "uses"),
    (f"audit: {LOST}", "uses: actions/upload-", "uses: actions/up-"),
    (f"plan: {LOST}", "path: changes/\n", "path: a.txt\n"),
    ("plan: it does not show the journal when it fails", "if: always()\n        run", "run"),
    (TAKES, "uses: actions/download-artifact", "uses: actions/cache"),
    (TAKES, "changes/\n      - name: Record", "x/\n      - name: Record"),
    (OTHER_DIGEST, "DIGEST: ${{ needs.plan.outputs.digest }}", "DIGEST: ${{ inputs.digest }}"),
    (OTHER_DIGEST, "digest: ${{ steps.plan.", "digest: ${{ steps.other."),
    (OTHER_DIGEST, '$(cat "$RUNNER_TEMP/digest")', '$(cat "$RUNNER_TEMP/other")'),
    (OTHER_DIGEST, 'apply "$DIGEST"', "apply 0123456789ab"),
    (OTHER_DIGEST, 'approve "$DIGEST"', 'approve "$OTHER"'),
    (OTHER_DIGEST, 'approver="$(gh', 'DIGEST=1; approver="$(gh'),
    ("plan: it does not hand on the digest", "--digest-to", "--to"),
    ("apply: it is not one approval and one apply", "private-s3 approve", "private-s3 status"),
    (WHO, '--by "$approver"', '--by "$GITHUB_ACTOR"'),
    (WHO, "$GITHUB_RUN_ID/approvals", "$GITHUB_RUN_ID/jobs"),
    ("plan: it has the role to apply, and nobody approves it", "vars.PLAN_", "vars.CHANGE_"),
    ("audit: it has no role", "uses: aws-actions/configure-aws-credentials", "uses: a/b"),
    (f"plan: {PASTED}", '-f "params/$CHANGE.yaml"', "-f params/${{ inputs.change }}.yaml"),
    (f"apply: {PASTED}", '"$TICKET"', '"${{ github.event.inputs.ticket }}"'),
    ("plan: actions/checkout@v6 is not pinned to a commit", "@de0fac2e", "@v6 #"),
    ("plan: the token of the repository stays on disk", "credentials: false", "credentials: true"),
    ("apply: a step may fail unnoticed", "name: Apply\n", "continue-on-error: true\n"),
    ("apply: a command may fail unnoticed", '"$TICKET"', '"$TICKET" || true'),
    ("plan: it may more than it needs", "contents: read", "contents: write"),
    ("apply: it cannot ask for credentials", "      id-token: write\n", ""),
    ("plan: jobs get permissions that they do not name", "permissions: {}\n", ""),
    ("plan: two runs of one change may overlap", "group: private-s3-${{ inputs.change", "group: a"),
    ("plan: a running change may be cancelled", "in-progress: false", "in-progress: true"),
    ("plan: something else than a person or a schedule starts it", "on:\n", "on:\n  push:\n"),
]
GITLAB_PLANTS = [
    ("apply: it does not wait for the plan", "needs:\n    - job: plan", "needs:\n    - job: a"),
    (UNGATED, "  environment:\n    name: private-s3-change\n", ""),
    (UNGATED, "      when: manual\n", ""),
    (UNGATED, "      allow_failure: false\n", "      allow_failure: false\n    - if: $HURRY\n"),
    (f"apply: {LOST}", "    when: always\n    expire_in", "    when: on_success\n    expire_in"),
    (f"plan: {LOST}", "      dotenv: plan.env\n", "      dotenv: plan.env\n    paths: [a]\n"),
    ("plan: it does not show the journal when it fails", "after_script", "script"),
    (TAKES, "artifacts: true", "artifacts: false"),
    (OTHER_DIGEST, "    reports:\n      dotenv: plan.env\n", "    expose_as: plan\n"),
    (OTHER_DIGEST, "$(cat plan.digest)", "$(cat other.digest)"),
    (OTHER_DIGEST, 'apply "$PLAN_DIGEST"', 'apply "$DIGEST"'),
    ("plan: it does not hand on the digest", "--digest-to", "--to"),
    ("apply: it is not one approval and one apply", "private-s3 approve", "private-s3 status"),
    (WHO, '--by "$approver"', '--by "$GITLAB_USER_LOGIN"'),
    (WHO, '"user_login"', '"project_path"'),
    ("plan: it has the role to apply, and nobody approves it", "$PLAN_ROLE", "$CHANGE_ROLE"),
    ("audit: it has no role", "AWS_ROLE_ARN: $PLAN_ROLE_ARN", 'AWS_ROLE_ARN: ""'),
    ("apply: a command may fail unnoticed", '"$TICKET"', '"$TICKET" || :'),
    ("plan: it cannot ask for credentials", "  id_tokens:\n", "  variables:\n"),
    ("plan: two runs of one change may overlap", "resource_group: private-s3-$CHANGE", "tags: []"),
    ("audit: it does not say how long the evidence is kept", "    expire_in: 1 year\n", ""),
    (
        "apply: a pipeline whose approval is missing counts as passed",
        "      allow_failure: false\n",
        "",
    ),
]
PLANTS = [(GITHUB, *plant) for plant in GITHUB_PLANTS] + [(GITLAB, *one) for one in GITLAB_PLANTS]


@pytest.mark.parametrize(("path", "fault", "right", "wrong"), PLANTS)
def test_a_planted_fault_is_found(path: Path, fault: str, right: str, wrong: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert right in text
    assert fault in faults(path, yaml.safe_load(text.replace(right, wrong)))


@both
def test_an_approval_that_comes_too_late_is_found(path: Path) -> None:
    names = {"private-s3 approve": "private-s3 apply", "private-s3 apply": "private-s3 approve"}
    text = path.read_text(encoding="utf-8")
    swapped = re.sub("|".join(names), lambda match: names[match[0]], text)
    assert "apply: it applies before it records the approval" in faults(
        path, yaml.safe_load(swapped)
    )


# -- The scripts, run -----------------------------------------------------------------------------

# Stands for private-s3: notes its words, gives the digest, and fails where it is told to.
COMMAND = """#!/usr/bin/env bash
echo "$@" >> "$CALLS"
echo "The plan"
while [ $# -gt 1 ]; do
  if [ "$1" = --digest-to ]; then echo "$DIGEST_OF_PLAN" > "$2"; fi
  shift
done
read -r name _ < <(tail -n 1 "$CALLS")
if [ "$name" = "$FAILS" ]; then exit 3; fi
"""
# Stands for gh: `gh api PATH --jq FILTER` filters an answer, `gh run download` is noted.
GH = """#!/usr/bin/env bash
if [ "$1" = run ]; then echo "gh $*" >> "$CALLS"; exit 0; fi
case "$2" in
  */approvals) jq -r "$4" "$ANSWERS/approvals" ;;
  */artifacts?name=*) jq -r "$4" "$ANSWERS/artifacts" ;;
esac
"""
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq stands in for gh's --jq")


@dataclass
class Runner:
    """A folder in which a job's scripts run, with stand-ins for what they call."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stand_in(".venv/bin/private-s3", COMMAND)
        self.stand_in("bin/gh", GH)
        self.stand_in("bin/make", "#!/bin/sh\n")
        (self.folder / ".venv/bin/python").symlink_to(sys.executable)
        self.answer("approvals", [])
        self.answer("artifacts", {"artifacts": []})

    def stand_in(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def answer(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value), encoding="utf-8")

    def shell(self, script: str) -> int:
        """Runs a script as both platforms do, and gives its exit code."""
        own = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CALLS": "calls",
            "ANSWERS": ".",
            "DIGEST_OF_PLAN": DIGEST,
            "FAILS": "",
            "CHANGE": "app 1",
            "TICKET": "CHANGE-1; touch pwned",
            "RUNNER_TEMP": str(self.folder),
            "GITHUB_OUTPUT": "output",
            "GITHUB_STEP_SUMMARY": "summary",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "7",
            "GITHUB_REF_NAME": "main",
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**own, **self.variables},
            check=False,
        ).returncode

    def job(self, job: Job) -> int:
        """Runs a job, and what it does afterwards in any case; gives the first failure."""
        failed = next(filter(None, map(self.shell, job.scripts)), 0)
        for script in job.afterwards:
            self.shell(script)
        return failed

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def approval(login: str, state: str = "approved", environment: str = "private-s3-change") -> Any:
    return {"user": {"login": login}, "state": state, "environments": [{"name": environment}]}


def token(login: str) -> str:
    claims = json.dumps({"user_login": login, "sub": "project_path:g/p?>~"}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


def approve_as(path: Path, runner: Runner, login: str) -> None:
    runner.variables["AWS_ID_TOKEN"] = token(login)
    runner.variables["GITHUB_ACTOR"] = runner.variables["GITLAB_USER_LOGIN"] = "mallory"
    runner.answer(
        "approvals",
        [approval("eve", state="rejected"), approval("dan", environment="x"), approval(login)],
    )


@needs_jq
@both
def test_what_was_planned_is_approved_and_applied(path: Path, runner: Runner) -> None:
    jobs = jobs_of(path, load(path))
    assert runner.job(jobs["plan"]) == 0
    output = runner.text("output") + runner.text("plan.env")
    name, _, digest = output.strip().partition("=")
    assert (name, digest) == ("digest" if path == GITHUB else "PLAN_DIGEST", DIGEST)
    approve_as(path, runner, "grace")
    runner.variables[jobs["apply"].digests[0][1:]] = digest
    assert runner.job(jobs["apply"]) == 0
    plan, *others = runner.text("calls").splitlines()
    assert plan.startswith("plan -f params/app 1.yaml --digest-to ")
    assert others == [
        "status -f params/app 1.yaml",
        f"approve {DIGEST} -f params/app 1.yaml --by grace --ticket CHANGE-1; touch pwned",
        f"apply {DIGEST} -f params/app 1.yaml",
        "verify -f params/app 1.yaml",
        "status -f params/app 1.yaml",
    ]
    assert not (runner.folder / "pwned").exists()


@needs_jq
@both
@pytest.mark.parametrize("name", ["plan", "apply", "audit"])
def test_a_failure_is_the_failure_of_the_job_and_its_journal_is_shown(
    path: Path, name: str, runner: Runner
) -> None:
    job = jobs_of(path, load(path))[name]
    approve_as(path, runner, "grace")
    runner.variables |= {"FAILS": name, **{word[1:]: DIGEST for word in job.digests}}
    runner.answer("artifacts", {"artifacts": [artifact(5)]})
    assert runner.job(job) == 3
    assert runner.text("calls").splitlines()[-1] == "status -f params/app 1.yaml"
    assert not runner.text("output") and not runner.text("plan.env")


@needs_jq
@pytest.mark.parametrize("reviews", [[], [approval("eve", "rejected")], [approval("d", "p", "x")]])
def test_nothing_is_applied_that_no_reviewer_has_approved(reviews: Any, runner: Runner) -> None:
    runner.answer("approvals", reviews)
    runner.variables["DIGEST"] = DIGEST
    assert runner.job(jobs_of(GITHUB, load(GITHUB))["apply"]) == 3
    assert runner.text("calls") == "status -f params/app 1.yaml\n"


def artifact(run: int, branch: str = "main", fork: bool = False, expired: bool = False) -> Any:
    origin = {"id": run, "head_branch": branch, "repository_id": 1, "head_repository_id": 1 + fork}
    return {"created_at": f"2030-01-0{run}", "expired": expired, "workflow_run": origin}


@needs_jq
@pytest.mark.parametrize(("job", "without"), [("plan", 0), ("audit", 2)])
def test_the_newest_evidence_of_this_branch_is_gone_on_with(
    job: str, without: int, runner: Runner
) -> None:
    steps = load(GITHUB)["jobs"][job]["steps"]
    (fetch,) = (one["run"] for one in steps if "gh run download" in one.get("run", ""))
    others = [artifact(6, fork=True), artifact(7, "feature"), artifact(8, expired=True)]
    runner.answer("artifacts", {"artifacts": others})
    assert runner.shell(fetch) == without
    assert runner.text("calls") == ""
    runner.answer("artifacts", {"artifacts": [artifact(4), artifact(5), *others]})
    assert runner.shell(fetch) == 0
    expected = "gh run download 5 --repo o/r --name evidence-app 1 --dir changes\n"
    assert runner.text("calls") == expected
