"""What CloudTrail has recorded of a change is held against its journal, and kept."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from private_s3 import aws
from private_s3.errors import AwsRefused, BadInput, CheckFailed
from private_s3.evidence import corroborate as corroborating
from private_s3.evidence import trail
from private_s3.evidence.corroborate import corroborate
from private_s3.evidence.corroboration import NOT_FOUND, NOT_LOOKED, NOT_YET, Corroboration
from private_s3.journal import Journal
from private_s3.preflight import dry_run
from tests.support.accounts import Accounts
from tests.support.world import World, enter

LOGS = "s3://rehearsal-trail/AWSLogs/123456789012/CloudTrail/ap-northeast-1"
OPERATOR = "arn:aws:sts::123456789012:assumed-role/operator/rehearsal"


@dataclass(frozen=True)
class Told:
    """A change that was applied and checked, in an account that has recorded it."""

    world: World
    original: Path
    endpoint_id: str
    logs: Path  # the log files, downloaded


@pytest.fixture(scope="module")
def told(accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Applied by the library, and checked by the real notebook 50; not to be changed."""
    top = tmp_path_factory.mktemp("told")
    with accounts.fresh() as account, pytest.MonkeyPatch.context() as patch:
        world = enter(account, top, patch)
        digest = world.apply()
        world.planned(approved_plan=digest).read_again()
        result = world.notebook("50_check_from_instance", digest)
        assert result.error is None, result.error
        folder = top / "changes/rehearsal"
        (endpoint_id,) = re.findall(r'endpoint_id": "(vpce-\w+)"', _text(folder))
        s3, logs = account.client("s3"), top / "logs/deep"
        logs.mkdir(parents=True)
        for one in s3.list_objects_v2(Bucket="rehearsal-trail")["Contents"]:
            name = logs / Path(one["Key"]).name
            name.write_bytes(s3.get_object(Bucket="rehearsal-trail", Key=one["Key"])["Body"].read())
        yield Told(world, folder, endpoint_id, logs.parent)
        assert account.errors() == []


def _text(folder: Path) -> str:
    return (folder / "journal.jsonl").read_text()


@pytest.fixture
def folder(told: Told, tmp_path: Path) -> Path:
    """A copy of the change folder."""
    return shutil.copytree(told.original, tmp_path / "rehearsal")


@pytest.fixture
def here(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aws.Account]:
    """The account as its operator sees it."""
    enter(told.world.account, tmp_path, monkeypatch)
    yield aws.connect(told.world.parameters())
    told.world.account.act("delay trail", seconds=0)
    told.world.account.unplant()


def by_operation(done: Corroboration) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in done.writes:
        found.setdefault(one["operation"], []).append(one)
    return found


def rewrite(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """The same journal with its lines edited, as somebody would have written it."""
    lines = [json.loads(line) for line in _text(folder).splitlines()]
    for name in ("journal.jsonl", "journal.head"):
        (folder / name).unlink()
    journal = Journal(folder)
    for line in lines:
        about = {k: v for k, v in line.items() if k not in ("number", "previous")}
        edit(about)
        journal.append(about.pop("event"), **about)  # a time among the details stands


def test_every_management_write_is_found_by_its_request_id(
    told: Told, here: aws.Account, folder: Path
) -> None:
    done = corroborate(folder, here)
    found = by_operation(done)
    assert {"CreateVpcEndpoint", "PutBucketPolicy", "SendCommand"} <= {*found}
    for one in done.writes:
        if one["operation"] in ("PutObject", "DeleteObject"):
            assert (one["found"], one["answer"]) == (False, NOT_LOOKED)
            continue
        assert one["found"] and one["matched by"] == "request id"
        event = one["event"]
        assert (event["name"], event["caller"], event["error"]) == (one["operation"], OPERATOR, "")
        assert event["source"].endswith(".amazonaws.com") and event["account"] == here.id
        assert event["source_ip"] and event["event_id"]
    assert done.contradictions == []
    kept = json.loads((folder / "corroboration.json").read_text())
    assert kept["writes"] == done.writes and kept["looked"] == done.looked
    assert done.probes == []


def test_one_paged_lookup_is_made_for_each_kind_of_write(here: aws.Account, folder: Path) -> None:
    here.calls.clear()
    corroborate(folder, here)
    assert here.calls == {"LookupEvents": 3}


def test_rows_say_what_the_account_recorded(here: aws.Account, folder: Path) -> None:
    done = corroborate(folder, here)
    assert all(len(row) == len(Corroboration.COLUMNS) for row in done.rows())
    rows = {row[2]: row for row in done.rows()}
    line = next(one for one in Journal(folder).lines() if one.get("operation") == "PutBucketPolicy")
    assert rows["PutBucketPolicy"][0] == str(line["number"])
    assert rows["PutBucketPolicy"][4].startswith(f"PutBucketPolicy by {OPERATOR} from ")
    assert rows["PutObject"][4] == NOT_LOOKED
    (data,) = [s for s in done.sentences() if NOT_LOOKED in s]
    assert "--logs" in data


@pytest.mark.parametrize("place", ["bucket alone", "bucket", "bucket/", "folder"])
def test_log_files_tell_the_requests_to_objects(
    place: str, told: Told, here: aws.Account, folder: Path
) -> None:
    alone = LOGS.partition("/AWSLogs")[0]
    places = {"bucket alone": alone, "bucket": LOGS, "bucket/": f"{LOGS}/"}
    logs = places.get(place, str(told.logs))
    done = corroborate(folder, here, logs)
    assert all(one["found"] for one in done.writes)
    for one in by_operation(done)["PutObject"]:
        # the operator is refused; break-glass, of whom the journal has only the role, is not
        refused = one["event"]["caller"] == OPERATOR
        assert one["event"]["error"] == ("AccessDenied" if refused else "")
    assert done.contradictions == []
    assert done.files and any("Log files read" in s for s in done.sentences())
    keys = {(one["operation"], one["caller"].rpartition("/")[2]) for one in done.probes}
    app = told.world.id("app-1")
    assert {("PutObject", app), ("GetObject", app), ("DeleteObject", app)} <= keys
    for one in done.probes:
        assert one["key"].startswith(".private-s3-check/rehearsal/")
        inside = one["caller"].rpartition("/")[2].startswith("i-")
        assert one["endpoint_is_ours"] == inside == (one["endpoint_id"] == told.endpoint_id)
    assert any("came through the endpoint" in s for s in done.sentences())


def test_requests_of_another_change_or_bucket_are_no_probes(
    told: Told, here: aws.Account, folder: Path, tmp_path: Path
) -> None:
    def edit(record: dict[str, Any]) -> None:
        asked = record["requestParameters"]
        if record["eventName"] == "PutObject":
            asked["key"] = asked["key"].replace("/rehearsal/", "/rehearsal-2/")
        elif record["eventName"] == "GetObject":
            asked["bucketName"] = "another"

    done = corroborate(folder, here, str(edited(told, tmp_path, edit)))
    assert {one["operation"] for one in done.probes} == {"DeleteObject"}


def edited(told: Told, tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """The downloaded log files with their records edited, one of them not packed."""
    target = tmp_path / "edited"
    target.mkdir()
    for path in told.logs.rglob("*.gz"):
        found = json.loads(gzip.decompress(path.read_bytes()))
        for record in found["Records"]:
            edit(record)
        (target / path.stem).write_text(json.dumps(found))
    return target


def test_an_endpoint_of_others_is_not_ours(
    told: Told, here: aws.Account, folder: Path, tmp_path: Path
) -> None:
    def edit(record: dict[str, Any]) -> None:
        record["vpcEndpointId"] = "vpce-0badbadbadbadbad0"

    done = corroborate(folder, here, str(edited(told, tmp_path, edit)))
    assert done.probes and not any(one["endpoint_is_ours"] for one in done.probes)


def test_an_endpoint_that_the_change_used_is_ours(
    told: Told, here: aws.Account, folder: Path
) -> None:
    rewrite(folder, lambda line: line.update(values={}) if "values" in line else None)
    assert not re.search(r'endpoint_id": "vpce-', _text(folder))
    done = corroborate(folder, here, LOGS)
    assert any(one["endpoint_is_ours"] for one in done.probes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eventName": "GetObject"}, "has recorded GetObject under this request id"),
        ({"recipientAccountId": "999999999999"}, "in account 999999999999, not in 123456789012"),
        (
            {"userIdentity": {"arn": "arn:aws:sts::123456789012:assumed-role/other/rehearsal"}},
            "the account arn:aws:sts::123456789012:assumed-role/other/rehearsal",
        ),
        ({"errorCode": "AccessDenied"}, "the account that it was refused: AccessDenied"),
        ({"errorCode": ""}, "the journal says that it was refused, the account that it was done"),
    ],
)
def test_what_contradicts_the_journal_is_named(
    change: dict[str, Any],
    said: str,
    told: Told,
    here: aws.Account,
    folder: Path,
    tmp_path: Path,
) -> None:
    logs = str(edited(told, tmp_path, lambda record: record.update(change)))
    done = corroborate(folder, here, logs)
    about_objects = [s for s in done.contradictions if "Object: " in s]
    assert about_objects == done.contradictions != []
    assert any(said in sentence for sentence in done.contradictions)
    assert done.sentences()[: len(done.contradictions)] == done.contradictions
    assert any("; contradiction: " in row[4] for row in done.rows())
    kept = json.loads((folder / "corroboration.json").read_text())["writes"]
    assert [one for one in kept if "contradiction" in one]


def test_a_write_that_is_not_shown_yet_is_found_later_and_stays_found(
    told: Told, here: aws.Account, folder: Path
) -> None:
    told.world.account.act("delay trail", seconds=600)
    early = corroborate(folder, here)
    assert {one["answer"] for one in early.writes} == {NOT_YET, NOT_LOOKED}
    assert any("some 15 minutes" in s for s in early.sentences())
    told.world.account.act("delay trail", seconds=0)
    later = corroborate(folder, here, LOGS)
    assert all(one["found"] for one in later.writes) and later.probes
    told.world.account.act("delay trail", seconds=10**9)
    lost = corroborate(folder, here)
    assert (lost.writes, lost.probes) == (later.writes, later.probes)


def test_an_old_write_that_is_not_there_is_not_found(here: aws.Account, folder: Path) -> None:
    hours = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="milliseconds")
    rewrite(folder, lambda line: line.update(time=hours, request_id="elsewhere"))
    done = corroborate(folder, here)
    answers = {one["operation"]: one["answer"] for one in done.writes}
    assert {answers["PutBucketPolicy"], answers["SendCommand"]} == {NOT_FOUND}
    assert any("90 days" in s for s in done.sentences())


def test_a_write_older_than_cloudtrail_keeps_is_not_asked_for(
    here: aws.Account, folder: Path
) -> None:
    old = (datetime.now(UTC) - timedelta(days=91)).isoformat(timespec="milliseconds")
    rewrite(folder, lambda line: line.update(time=old))
    here.calls.clear()
    assert not any(one["found"] for one in corroborate(folder, here).writes)
    assert here.calls == {}


def test_a_write_without_an_answer_is_found_by_its_time(here: aws.Account, folder: Path) -> None:
    def lose(line: dict[str, Any]) -> None:
        if line["event"] == "outcome":
            line.update(event="unanswered", request_id="")

    rewrite(folder, lose)
    (one,) = by_operation(corroborate(folder, here))["PutBucketPolicy"]
    assert (one["found"], one["matched by"], one["request_id"]) == (True, "time", "")
    rewrite(folder, lambda line: line.update(caller="arn:aws:iam::123456789012:role/other"))
    (one,) = by_operation(corroborate(folder, here))["PutBucketPolicy"]
    assert one["found"]  # it was, before
    (folder / "corroboration.json").unlink()
    (one,) = by_operation(corroborate(folder, here))["PutBucketPolicy"]
    assert not one["found"]


def test_by_time_is_within_five_minutes_and_no_event_counts_twice(
    here: aws.Account, folder: Path
) -> None:
    def lose(minutes: int) -> Callable[[dict[str, Any]], None]:
        def edit(line: dict[str, Any]) -> None:
            moment = datetime.fromisoformat(line["time"]) - timedelta(minutes=minutes)
            line.update(time=moment.isoformat(timespec="milliseconds"))
            if line["event"] == "outcome":
                line.update(event="unanswered", request_id="")

        return edit

    rewrite(folder, lose(6))
    assert not any(one["found"] for one in corroborate(folder, here).writes)
    (folder / "corroboration.json").unlink()
    rewrite(folder, lose(-6))
    about = next(
        one for one in Journal(folder).lines() if one.get("operation") == "PutBucketPolicy"
    )
    again = {k: about[k] for k in ("step", "plan", "caller", "operation", "request", "changes")}
    Journal(folder).append("intent", **again, time=about["time"])
    policies = by_operation(corroborate(folder, here))["PutBucketPolicy"]
    assert sorted(one["found"] for one in policies) == [False, True]


def test_a_dry_run_is_not_taken_for_the_write(told: Told, here: aws.Account, folder: Path) -> None:
    vpc_id = told.world.id("rehearsal")
    tags = [{"Key": "private-s3:change", "Value": "x"}]
    asked = {
        "VpcId": vpc_id,
        "ServiceName": "com.amazonaws.ap-northeast-1.s3",
        "TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": tags}],
    }
    assert dry_run.ask(here, "CreateVpcEndpoint", asked).code == dry_run.PERMITTED

    def lose(line: dict[str, Any]) -> None:
        if line.get("operation") == "CreateVpcEndpoint":
            line.update(time=datetime.now(UTC).isoformat(timespec="milliseconds"))
            if line["event"] == "outcome":
                line.update(event="unanswered", request_id="")

    rewrite(folder, lose)
    (one,) = by_operation(corroborate(folder, here))["CreateVpcEndpoint"]
    assert (one["matched by"], one["event"]["error"]) == ("time", "")


def test_a_role_that_was_assumed_is_the_same_caller() -> None:
    same = corroborating._same_caller
    role, seat = "arn:aws:iam::1:role/path/r", "arn:aws:sts::1:assumed-role/r/session"
    assert same(role, seat) and same(seat, seat)
    assert not same(role, seat.replace("1:", "2:"))
    assert not same(role, seat.replace("/r/", "/rr/"))
    assert not same(seat, seat.replace("session", "another"))
    assert not same(seat, role)


def test_a_refusal_within_an_answer_is_no_contradiction(here: aws.Account, folder: Path) -> None:
    def refuse(line: dict[str, Any]) -> None:
        if line["event"] == "outcome" and line["operation"] == "PutBucketPolicy":
            line.update(event="refused", answer="x")

    rewrite(folder, refuse)
    assert len(corroborate(folder, here).contradictions) == 1

    def rename(line: dict[str, Any]) -> None:
        if line.get("operation") == "PutBucketPolicy":
            line.update(operation="DeleteVpcEndpoints")

    rewrite(folder, rename)
    event = trail.Event.of({"eventName": "DeleteVpcEndpoints", "recipientAccountId": here.id})
    (write,) = [
        one
        for one in corroborating._writes(Journal(folder).lines())
        if one.operation == "DeleteVpcEndpoints"
    ]
    assert list(corroborating._contradictions(write, event, here.id)) == [
        f"the journal says {OPERATOR}, the account nobody"
    ]


def test_who_may_not_look_is_told_what_to_grant(
    told: Told, here: aws.Account, folder: Path
) -> None:
    told.world.account.plant("LookupEvents", code="AccessDeniedException", message="no", times=1)
    with pytest.raises(AwsRefused) as raised:
        corroborate(folder, here)
    assert "cloudtrail:LookupEvents" in raised.value.remedy
    assert len(str(raised.value).splitlines()) == 3
    assert not (folder / "corroboration.json").exists()


def test_throttling_is_waited_for(told: Told, here: aws.Account, folder: Path) -> None:
    told.world.account.plant("LookupEvents", code="ThrottlingException", times=2)
    assert any(one["found"] for one in corroborate(folder, here).writes)


def test_what_stands_in_an_event_is_made_clean(
    told: Told, here: aws.Account, folder: Path, tmp_path: Path
) -> None:
    key = "AKIA" + "QXPLANTED0000001"

    def edit(record: dict[str, Any]) -> None:
        record["sourceIPAddress"], record["errorCode"] = f"\x1b[31m {key}", [1]

    done = corroborate(folder, here, str(edited(told, tmp_path, edit)))
    text = (folder / "corroboration.json").read_text() + repr(done.rows())
    assert key not in text and "\x1b" not in text
    assert "[withheld: access key]" in text


@pytest.mark.parametrize("record", [None, [], "x", {}, {"userIdentity": 1, "eventTime": 5}])
def test_a_record_that_is_none_tells_nothing(record: Any) -> None:
    event = trail.Event.of(record)
    assert event.request_id == event.key == event.event_id == ""
    assert event.moment is None


def test_log_files_that_cannot_be_read_are_refused(
    here: aws.Account, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="There is no folder"):
        corroborate(folder, here, str(tmp_path / "missing"))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "digest.json").write_text('{"digestEndTime": "x"}')
    (logs / "notes.txt").write_text("{")
    assert corroborate(folder, here, str(logs)).files == 1
    for name, content in (("cut.json.gz", gzip.compress(b"{}")[:-4]), ("x.json", b"{")):
        (logs / name).write_bytes(content)
        with pytest.raises(BadInput, match=f"{name} is none"):
            corroborate(folder, here, str(logs))
        (logs / name).unlink()


def test_a_bucket_that_may_not_be_read_is_refused_in_three_lines(
    here: aws.Account, folder: Path
) -> None:
    with pytest.raises(AwsRefused) as raised:
        corroborate(folder, here, "s3://rehearsal-nowhere/AWSLogs")
    assert len(str(raised.value).splitlines()) == 3
    assert "s3:ListBucket" in raised.value.remedy
    done = corroborate(folder, here, "s3://rehearsal-trail/elsewhere/AWSLogs")
    assert done.files == 0 and "Log files read: 0." in done.sentences()


def test_only_the_days_of_the_writes_are_read(here: aws.Account, folder: Path) -> None:
    asked = corroborating._days(corroborating._writes(Journal(folder).lines()))
    assert 1 <= len(asked) <= 2
    moment = "2026-03-01T23:30:00.000+00:00"
    rewrite(folder, lambda line: line.update(time=moment))
    days = corroborating._days(corroborating._writes(Journal(folder).lines()))
    assert days == ["2026/03/01", "2026/03/02"]


@pytest.mark.parametrize("text", ["", "[]", '{"writes": [{}], "probes": []}', '{"writes": []}'])
def test_what_no_earlier_run_has_written_is_not_written_over(
    text: str, here: aws.Account, folder: Path
) -> None:
    (folder / "corroboration.json").write_text(text)
    with pytest.raises(CheckFailed, match="not what an earlier run has written"):
        corroborate(folder, here)
    assert (folder / "corroboration.json").read_text() == text


def test_a_journal_that_cannot_be_trusted_is_not_corroborated(
    here: aws.Account, folder: Path
) -> None:
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace("PutBucketPolicy", "PutBucketPolicY", 1))
    with pytest.raises(CheckFailed, match="Could not trust the journal"):
        corroborate(folder, here)


def test_a_change_that_wrote_nothing_needs_no_call(here: aws.Account, folder: Path) -> None:
    for name in ("journal.jsonl", "journal.head"):
        (folder / name).unlink()
    here.calls.clear()
    done = corroborate(folder, here)
    assert (done.writes, here.calls) == ([], {})
