"""The errors of the runbook: three lines each, and the exit code of the command line."""

from private_s3.clean import clean


class RunbookError(Exception):
    """What was tried, what came back, and what to do next; one line each.

    Notebooks show the three lines instead of a traceback: the operator needs the next step, not
    our call stack.
    """

    exit_code = 1

    def __init__(self, attempted: str, answer: str, remedy: str) -> None:
        attempted, answer, remedy = clean(attempted), clean(answer), clean(remedy)
        super().__init__(attempted, answer, remedy)
        self.attempted, self.answer, self.remedy = attempted, answer, remedy

    def __str__(self) -> str:
        return f"{self.attempted}\n{self.answer}\nNext: {self.remedy}"

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this method by name instead of formatting a traceback.
        return [f"{type(self).__name__}: {self}"]


class CheckFailed(RunbookError):
    """A check of the runbook found something else than it should."""

    exit_code = 1


class BadInput(RunbookError):
    """A parameter or a file is missing, unknown or malformed; nothing was asked of AWS for it."""

    exit_code = 2


class PlanChanged(RunbookError):
    """The account is no longer as the plan saw it, or the plan was not approved."""

    exit_code = 3


class AwsRefused(RunbookError):
    """AWS answered with an error, or could not be reached; `code` is the code it gave.

    `status` is that of the HTTP answer, 0 without one. `passing`: it may go well another time.
    """

    exit_code = 4

    def __init__(
        self,
        attempted: str,
        answer: str,
        remedy: str,
        code: str = "",
        *,
        status: int = 0,
        request_id: str = "",
        passing: bool = False,
    ) -> None:
        super().__init__(attempted, answer, remedy)
        self.code, self.status, self.request_id = code, status, request_id
        self.passing = passing

    @property
    def is_answer(self) -> bool:
        """Whether AWS has refused for sure: after a 5xx or silence it may have been done."""
        return 400 <= self.status < 500
