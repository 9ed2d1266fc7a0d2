"""Who the other processes of a distributed run are, and which of them are gone."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["CARD_BYTES", "Peer", "lost_peers"]

CARD_BYTES = 512
_PATIENCE = 2.0


class Peer(NamedTuple):
    """A process's visiting card: small, of fixed length, plain JSON."""

    rank: int
    host: str
    pid: int
    settings: str

    def to_bytes(self) -> bytes:
        """At most :data:`CARD_BYTES` bytes."""
        return json.dumps(self._replace(host=self.host[:200])).encode("ascii")[:CARD_BYTES]

    @classmethod
    def from_bytes(cls, card: bytes) -> Peer:
        """The inverse of :meth:`to_bytes`, of a card padded with zeros."""
        return cls(*json.loads(card.rstrip(b"\0")))


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if status.parent.parent.joinpath("self").exists():  # a killed child stays as a zombie until its launcher looks
        try:
            return status.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lost_peers(peers: Sequence[Peer], rank: int) -> str:
    """Names the peers on this host that are gone, waiting a moment for the system to notice; "" if none is.

    >>> lost_peers([Peer(0, "here", 1, ""), Peer(1, "elsewhere", 2, "")], rank=0)
    ''
    """
    here = [peer for peer in peers if peer.rank != rank and peer.host == socket.gethostname()]
    deadline = time.monotonic() + _PATIENCE
    while here:
        gone = [peer for peer in here if not _alive(peer.pid)]
        if gone:
            return ", ".join(f"rank {peer.rank} (process {peer.pid})" for peer in gone)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return ""
