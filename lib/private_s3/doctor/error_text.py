"""Reads what a command has printed: which symptoms show like that, and about which host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from private_s3.clean import clean
from private_s3.doctor import error_patterns as known

# Of what is longer, text or line, the beginning and the end are read: errors stand there.
LIMIT, LINE, MOST_CLUES, QUOTED = 200_000, 8_000, 50, 300
UNKNOWN = "unknown"
# What would tell more, where nothing of a text is known.
WANTED = (
    "give the whole message of the command that failed, from `An error occurred` or `Connect "
    "timeout` on; with --debug the AWS CLI says besides which host it asked"
)


@dataclass(frozen=True)
class Clue:
    """What one error of a text says.

    `symptoms` are the numbers of those that show so, the most likely first; where there is none,
    `kind` says what it is. `service` and `region` are of the host that was asked, `region` empty
    for the name of S3 without one; `bucket`, `action`, `layer` and `operation` as far as told.
    """

    kind: str
    symptoms: tuple[int, ...]
    quote: str
    host: str = ""
    service: str = ""
    region: str = ""
    bucket: str = ""
    action: str = ""
    layer: str = ""
    operation: str = ""

    @property
    def of_aws(self) -> bool:
        """Whether it is about a bucket of AWS itself: packages, agents, images, signals."""
        return bool(known.OF_AWS.search(self.bucket or self.host))


def read(text: str) -> list[Clue]:
    """What each error of a text says, in its order, each once; "unknown" if none is known.

    The text is data: it is never run, and no secret in it is quoted. Nothing for an empty text.
    """
    if not text.strip():
        return []
    # The same message may stand there many times, with another request id or key.
    once: dict[tuple[str, ...], Clue] = {}
    for error in _errors(text):
        if clue := _clue(error):
            told = clue.kind, clue.host, clue.bucket, clue.action, clue.operation, clue.layer
            once.setdefault(told, clue)
        if len(once) == MOST_CLUES:
            break
    clues = [*once.values()]
    # The name of an exception says less than the message that follows it.
    vague = {clue.kind for clue in clues if clue.host}
    told_better = [clue for clue in clues if clue.host or clue.kind not in vague]
    return told_better or [Clue(UNKNOWN, (), _quoted(safe(text).strip()))]


def safe(text: str) -> str:
    """What is read of a text, without secrets and in lines, also where it is from JSON."""
    if len(text) > LIMIT:
        text = f"{text[: LIMIT // 2]}\n{text[-LIMIT // 2 :]}"
    for escaped, plain in known.ESCAPED.items():
        text = text.replace(escaped, plain)
    return clean("\n".join(map(_shortened, text.split("\n"))))


def _shortened(line: str) -> str:
    """A line with its middle left out if it is long; half a word could be half a secret."""
    if len(line) <= LINE:
        return line
    half = LINE // 2
    return f"{line[:half].rpartition(' ')[0]} {line[-half:].partition(' ')[2]}"


def _errors(text: str) -> Iterator[str]:
    """The errors of a text, each in one line: terminals wrap what is long."""
    words: list[str] = []
    for line in known.BEGINNING.sub("\n", safe(text)).split("\n"):
        if words and (not line.strip() or _is_another(line, words)):
            yield " ".join(words)
            words = []
        words += line.split()
        if words and _is_whole(words):
            yield " ".join(words)
            words = []
    if words:
        yield " ".join(words)


def _is_another(line: str, words: list[str]) -> bool:
    """Whether a line begins another error than the one that these words are of."""
    if not any(pattern.search(line) for _, pattern, _ in known.RULES):
        return False
    return not _is_of_aws(words) or bool(known.BEGINNING.match(line))


def _is_whole(words: list[str]) -> bool:
    """Whether these words are all of what AWS has answered."""
    return _is_of_aws(words) and bool(known.END.search(words[-1]))


def _is_of_aws(words: list[str]) -> bool:
    return known.SERVED in " ".join(words[:12])


def _clue(error: str) -> Clue | None:
    """What an error says; None for a line that is none."""
    for kind, pattern, symptoms in known.RULES:
        if match := pattern.search(error):
            start = error.rfind(known.SERVED, 0, match.start() + len(known.SERVED))
            quote = _quoted(error[start if start >= 0 else max(0, match.start() - 80) :])
            clue = replace(_about(error, match.end()), kind=kind, symptoms=symptoms, quote=quote)
            return _narrowed(clue, error)
    return None


def _about(error: str, at: int) -> Clue:
    """Which host, bucket, action and policy an error speaks of; a host after `at` comes first."""
    hosts = [*known.HOST.finditer(error)]
    chosen = next((one for one in hosts if one.start() >= at), hosts[-1] if hosts else None)
    host = (chosen[1] or chosen[2]).lower() if chosen else ""
    s3 = known.S3.fullmatch(host)
    other = None if s3 else known.SERVICE.fullmatch(host)
    worldwide = None if s3 or other else known.WORLDWIDE.fullmatch(host)
    arn, path, action = (one.search(error) for one in (known.ARN, known.PATH_STYLE, known.ACTION))
    layer, operation = known.LAYER.search(error), known.OPERATION.search(error)
    named = (arn and arn[1]) or (s3 and s3["bucket"]) or (s3 and path and path[1])
    return Clue(
        "",
        (),
        "",
        host,
        "s3" if s3 else other[1] if other else worldwide[1] if worldwide else "",
        (s3["region"] or "") if s3 else other[2] if other else "",
        named or "",
        action[1] if action else "",
        layer[1] if layer else "",
        (operation[1] or operation[2]) if operation else "",
    )


def _narrowed(clue: Clue, error: str) -> Clue | None:
    """The clue with the symptoms that its host, its action or its policy leaves."""
    if clue.kind == "denied":
        return _denied(clue, error)
    if clue.kind not in ("timeout", "no connection"):
        return clue
    if clue.service in known.AGENT:
        return replace(clue, symptoms=(16, 17))
    if clue.service not in ("", "s3"):
        return replace(clue, symptoms=(17,))
    if clue.service == "s3" and not clue.region:
        timeout = clue.kind == "timeout"
        return replace(clue, symptoms=(4, *clue.symptoms) if timeout else (*clue.symptoms, 4))
    if clue.host and not clue.service:
        return replace(clue, kind="another host", symptoms=())
    return clue


def _denied(clue: Clue, error: str) -> Clue | None:
    told = clue.operation or clue.layer or clue.action
    if clue.of_aws or (not told and not clue.bucket and known.UNSIGNED.search(error)):
        return replace(clue, kind="bucket of AWS", symptoms=(15,))
    if clue.operation == "ListBuckets" or clue.action == "s3:ListAllMyBuckets":
        return replace(clue, kind="all buckets", symptoms=(18,))
    if clue.action and not clue.action.startswith("s3:"):
        return replace(clue, kind="another permission", symptoms=())
    if clue.layer:
        kind, symptoms = known.OF_LAYER.get(clue.layer, (clue.layer, ()))
        return replace(clue, kind=kind, symptoms=symptoms)
    if clue.operation.startswith("Head"):
        return replace(clue, kind="no reason", symptoms=(19,))
    return None if clue.host and not clue.service else clue


def _quoted(text: str) -> str:
    """A line of a text, as evidence."""
    line = " ".join(text[: 4 * QUOTED].split())
    return line if len(line) <= QUOTED else f"{line[: QUOTED - 3]}..."
