"""The application: its commands, and the one border where errors become messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

import headwater
from headwater.cli.about import checks, cite, completion, models
from headwater.cli.data import inspect
from headwater.cli.demo import demo
from headwater.cli.examples import EXAMPLES
from headwater.cli.judge import compare, evaluate
from headwater.cli.plot import plot
from headwater.cli.train import fit, resume
from headwater.cli.use import sample, score
from headwater.cli.variants import variants
from headwater.errors import HeadwaterError

__all__ = ["app", "main"]

_HELP = """Deep generative models on your own data.

Learn a distribution, create new data from it, score how likely any datum is, and see honestly which model did best.

First steps: headwater demo
"""

app = App(
    name="headwater",
    help=_HELP,
    version=headwater.__version__,
    help_format="plaintext",
    help_epilogue=EXAMPLES["headwater"],
    default_parameter=None,
)
app["--help"].group = app["--version"].group = "Session"

_COMMANDS: tuple[Callable[..., None], ...] = (
    *(demo, inspect, fit, resume, sample, score, evaluate, plot, compare, models, checks, cite, completion),
)
for _rank, _command in enumerate(_COMMANDS):
    app.command(_command, name=_command.__name__, sort_key=_rank, help_epilogue=EXAMPLES[_command.__name__])
app.command(variants)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    0 done, 2 usage, 3 data, 4 diverged, 5 resources, 130 interrupted and resumable.
    """
    _plain_streams()
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages for large tensors, if torch is not loaded yet
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        code = 0
    except CycloptsError as error:
        code = _report(str(error).strip(), "See: headwater --help", 2)
    except HeadwaterError as error:
        code = _report(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        code = _report("Interrupted.", "", 130)
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def _report(message: str, hint: str, code: int) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("error: ", style="bold red", end="", markup=False)
    console.print(message, markup=False)
    if hint:
        console.print(hint, style="dim", markup=False)
    return code


def _plain_streams() -> None:
    """Characters that the terminal's encoding lacks are replaced, not fatal (LANG=C, cp1252)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
