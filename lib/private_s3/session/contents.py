"""A change folder as JupyterLab sees it: copies come when asked for, seals make read-only."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from private_s3 import steps
from private_s3.evidence.story import PASSES, named
from private_s3.parameters import Parameters
from private_s3.session import copies

PARAMETERS = "PRIVATE_S3_SESSION_PARAMETERS"


class Contents(AsyncLargeFileManager):
    """The files of the change folder, which is the root of the session."""

    @cached_property
    def _parameters(self) -> Parameters:
        return Parameters.of(json.loads(os.environ[PARAMETERS]))

    @cached_property
    def _sealed(self) -> frozenset[str]:
        # Nobody can seal while the session holds the lock.
        return copies.sealed(self._folder)

    @property
    def _folder(self) -> Path:
        return Path(self.root_dir)

    def is_writable(self, path: str) -> bool:
        return path.strip("/") not in self._sealed and bool(
            super().is_writable(path)  # type: ignore[no-untyped-call]
        )

    async def get(self, path: str, *args: Any, **rest: Any) -> Any:
        """The model of a file; a copy that a link leads to is made when it is first asked for."""
        path = path.strip("/")
        self._make(Path(path))
        model = await super().get(path, *args, **rest)  # type: ignore[no-untyped-call]
        if model.get("hash"):
            # Nobody else writes here while the session holds the lock. By its hash JupyterLab would
            # take its own autosave for somebody else's, and offer to throw away what it shows.
            model["hash"] = "of this session"
        if path in self._sealed and model["type"] == "notebook" and model["content"]:
            model["content"].cells.insert(0, self._banner(Path(path)))
        return model

    async def save(self, model: Any, path: str = "") -> Any:
        self._require_open(path)
        return await super().save(model, path)  # type: ignore[no-untyped-call]

    async def delete_file(self, path: str) -> Any:
        self._require_open(path)
        return await super().delete_file(path)  # type: ignore[no-untyped-call]

    async def rename_file(self, old_path: str, new_path: str) -> Any:
        self._require_open(old_path)
        return await super().rename_file(old_path, new_path)  # type: ignore[no-untyped-call]

    def _require_open(self, path: str) -> None:
        inside = f"{path.strip('/')}/"
        if any(f"{name}/".startswith(inside) for name in self._sealed):
            raise HTTPError(403, f"{path} is sealed: it is evidence, and stays as it is")

    def _make(self, path: Path) -> None:
        if path.suffix != ".ipynb" or path.parent.name not in PASSES or len(path.parts) != 2:
            return
        step, _ = named(path)
        if not (self._folder / path).exists() and copies.template(step).is_file():
            copies.make(self._folder / path, self._values(path.parts[0], step))

    def _values(self, pass_name: str, step: str) -> dict[str, Any]:
        digest = steps.carried(self._parameters, step) if pass_name == "apply" else ""
        return {**self._parameters.model_dump(), "approved_plan": digest}

    def _banner(self, path: Path) -> Any:
        """A cell that says so; it is shown, and is in no file."""
        step, _ = named(path)
        fresh = copies.to_run(self._folder, path.parts[0], step).name
        again = (
            f" To run the step again, open [{fresh}]({fresh})." if path.parts[0] in PASSES else ""
        )
        form: Any = nbformat
        return form.v4.new_markdown_cell(
            f"> **Sealed, read-only.** This notebook is evidence of what was run.{again}",
            id="sealed",
        )
