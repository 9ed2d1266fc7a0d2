"""Several processes that train one model: who we are, averaging, agreeing, and naming who was lost."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from headwater.errors import ConfigError, ResourceError, UsageError
from headwater.settings import RunSettings
from headwater.training.peers import CARD_BYTES, Peer, lost_peers

__all__ = ["TIMEOUT_VARIABLE", "Ranks", "fingerprint_of"]

TIMEOUT_VARIABLE = "HEADWATER_DIST_TIMEOUT"
_DEFAULT_TIMEOUT = 60
_meeting: dict[str, Store] = {}
_joined = itertools.count()


def fingerprint_of(settings: RunSettings) -> str:
    """A short hash of all settings.

    >>> fingerprint_of(RunSettings()) == fingerprint_of(RunSettings(seed=1))
    False
    """
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Ranks:
    """The processes that ``torchrun`` started, or this one alone; entered around the whole of training.

    Gradients are averaged by one all-reduce of one flat tensor per player; nothing is
    wrapped, so that the loop is the same for one process and for many.

    Args:
        settings: Must be the same in every process, which entering checks.
        rank: Of this process; by default what the launcher's environment says.
        world: Number of processes.
        local_rank: Of this process on its machine.
    """

    def __init__(
        self, settings: RunSettings, *, rank: int | None = None, world: int | None = None, local_rank: int | None = None
    ) -> None:
        self.rank = _environment("RANK", 0) if rank is None else rank
        self.world = _environment("WORLD_SIZE", 1) if world is None else world
        self.local_rank = _environment("LOCAL_RANK", 0) if local_rank is None else local_rank
        self.timeout = _environment(TIMEOUT_VARIABLE, _DEFAULT_TIMEOUT)
        self._settings = settings
        self._peers: tuple[Peer, ...] = ()
        self._device = torch.device("cpu")
        if settings.training.batch_size % self.world:
            raise UsageError(
                f"Expected a batch size that {self.world} processes can share, got {settings.training.batch_size}.",
                hint=f"--set training.batch_size={self.world * max(1, settings.training.batch_size // self.world)}",
            )

    @property
    def primary(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def __enter__(self) -> Ranks:
        return self

    def join(self, device: torch.device) -> None:
        """Meet the other processes and compare settings.

        Raises:
            ResourceError: somebody did not come in time.
            ConfigError: the settings differ between processes.
        """
        if self.world == 1:
            return
        self._device = device
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "nccl"
        with self._watching("meeting the other processes"):
            dist.init_process_group(
                backend,
                store=self._store(),
                rank=self.rank,
                world_size=self.world,
                timeout=timedelta(seconds=self.timeout),
            )
        self._introduce()

    def _store(self) -> Store:
        """Where addresses are exchanged: a drawer of its own for each run that this process takes part in.

        Under torchrun the store outlives a process group; in a shared drawer a second run finds the first one's
        addresses and waits for them.
        """
        if "store" not in _meeting:
            limit = timedelta(seconds=self.timeout)
            _meeting["store"] = next(rendezvous("env://", self.rank, self.world, timeout=limit))[0]
        return PrefixStore(f"headwater run {next(_joined)}", _meeting["store"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _introduce(self) -> None:
        mine = Peer(self.rank, socket.gethostname(), os.getpid(), fingerprint_of(self._settings))
        card = torch.zeros(CARD_BYTES, dtype=torch.uint8, device=self._device)
        text = mine.to_bytes()
        card[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8).to(self._device)
        cards = [torch.empty_like(card) for _ in range(self.world)]
        with self._watching("comparing settings"):
            dist.all_gather(cards, card)
        self._peers = tuple(Peer.from_bytes(bytes(other.cpu().tolist())) for other in cards)
        differing = [peer.rank for peer in self._peers if peer.settings != self._peers[0].settings]
        if differing:
            raise ConfigError(
                f"The settings of rank {', '.join(map(str, differing))} differ from those of rank 0.",
                hint="Start every process with the same command line, configuration file and data.",
            )

    @contextmanager
    def _watching(self, doing: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            lost = lost_peers(self._peers, self.rank) or f"one of the other {self.world - 1} processes"
            cause = str(error).strip().splitlines()[0]
            raise ResourceError(
                f"Rank {self.rank} lost {lost} of {self.world} while {doing}: {cause}",
                hint=f"See that process's own message, then resume; a slow machine needs {TIMEOUT_VARIABLE}="
                f"{2 * self.timeout} (seconds).",
            ) from error

    @torch.no_grad()
    def average_(self, tensors: Sequence[Tensor], extra: Tensor, *, doing: str = "averaging gradients") -> Tensor:
        """Replace ``tensors`` by their means over processes, and return the mean of ``extra``; one all-reduce."""
        if self.world == 1:
            return extra
        dtype = tensors[0].dtype if tensors else extra.dtype
        flat = torch.cat([*(tensor.reshape(-1) for tensor in tensors), extra.to(dtype).reshape(-1)])
        with self._watching(doing):
            dist.all_reduce(flat)
        flat /= self.world
        parts = torch.split(flat, [*(tensor.numel() for tensor in tensors), extra.numel()])
        for tensor, part in zip(tensors, parts[:-1], strict=True):
            tensor.copy_(part.view_as(tensor))
        return parts[-1].view_as(extra).to(extra.dtype)

    @torch.no_grad()
    def broadcast_(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite ``tensors`` by those of rank 0."""
        if self.world > 1:
            with self._watching("receiving the weights"):
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def decide(self, value: int) -> int:
        """Rank 0's value, in every process."""
        if self.world == 1:
            return value
        held = torch.tensor(value, dtype=torch.int64, device=self._device)
        self.broadcast_([held])
        return int(held)


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise UsageError(f"Expected a whole number in the environment variable {name}, got {text!r}.")
    return int(text)
