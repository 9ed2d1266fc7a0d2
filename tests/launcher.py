"""Commands in two processes under torchrun."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def under_torchrun(*command: str, timeout: float = 90, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A script or ``-m module`` in two processes, meeting on a free port of loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *launch, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), "HEADWATER_DIST_TIMEOUT": "30"},
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
    )
