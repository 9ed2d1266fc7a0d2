"""Trains the stand-in model in a process of its own, `script.py RUN MODE`: for kills, signals and torchrun."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from headwater.data.codec import Codec
from headwater.errors import HeadwaterError
from headwater.models import registry
from headwater.runs.failpoints import FAILPOINT_VARIABLE
from headwater.runs.folder import RunFolder
from headwater.training import fit as fit_module
from headwater.training.fit import fit_run
from headwater.training.update import update
from tests.training.stand_ins import arrays, register, run_settings

_RANK = int(os.environ.get("RANK", "0"))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _slow(*args: Any, **kwargs: Any) -> Any:
    """Step 3 does not end before the second signal."""
    _slow.calls += 1  # type: ignore[attr-defined]
    if _slow.calls == 3:  # type: ignore[attr-defined]
        say("step 3")
        deadline = time.monotonic() + 30
        told = False
        while time.monotonic() < deadline:
            time.sleep(0.01)
            if kwargs["ranks"] and _stop() and not told:
                told = True
                say("noticed")
    return update(*args, **kwargs)


_slow.calls = 0  # type: ignore[attr-defined]
_requests: list[Any] = []


def _stop() -> bool:
    return any(request.requested for request in _requests)


class _Watched(fit_module.StopRequest):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _requests.append(self)


def _dies(*args: Any, **kwargs: Any) -> Any:
    """Rank 1 is killed in step 5."""
    _dies.calls += 1  # type: ignore[attr-defined]
    if _dies.calls == 5 and _RANK == 1:  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    return update(*args, **kwargs)


_dies.calls = 0  # type: ignore[attr-defined]


def main(path: str, mode: str, model: str = "tiny") -> int:
    torch.set_num_threads(1)
    register()
    options: dict[str, Any] = {"sample_every": 100}
    if mode in ("every-2", "slow", "dies"):
        options = {"checkpoint_every": 2, "keep": 1 if mode == "every-2" else 2}
    if mode == "compiled":
        options["compile"] = "on"
    if mode == "slow":
        fit_module.update, fit_module.StopRequest = _slow, _Watched  # type: ignore[assignment,misc]
    if mode == "dies":
        fit_module.update = _dies  # type: ignore[assignment]
    settings = run_settings(model, seed=4 if mode == "differs" and _RANK else 3, **options)
    dataset = arrays()
    codec = Codec.fit(dataset, registry.load_class(model).encoding)
    folder = RunFolder.create(Path(path), exist_ok=True)
    with folder.writing() if _RANK == 0 else nullcontext():
        try:
            fit_run(dataset, codec, settings, folder, resume=mode == "resume")
        except HeadwaterError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
    return 0


def kills(root: str, *places: str) -> int:
    """A run per place, each in a child that is killed there (forked: importing torch takes longer than training)."""
    for place in places:
        name, _, nth = place.partition(":")
        child = os.fork()
        if child == 0:
            os.environ[FAILPOINT_VARIABLE] = f"{name}:kill:{nth}"
            os._exit(main(str(Path(root) / name), "every-2"))
        _, status = os.waitpid(child, 0)
        say(str(os.WTERMSIG(status)))
    return 0


if __name__ == "__main__":
    path, mode, *rest = sys.argv[1:]
    if mode == "kills":
        sys.exit(kills(path, *rest))
    if len(rest) > 1:  # several models in one launch, each in a folder of its name
        sys.exit(max(main(str(Path(path) / model), mode, model) for model in rest))
    sys.exit(main(path, mode, *rest))
