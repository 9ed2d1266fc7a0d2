"""Fitting the ensemble of one protein: each member is a run of the house, so that it resumes, reports and verifies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.api import gather
from headwater.applications.variants import NOTICE
from headwater.applications.variants.ensemble import RECORD, Ensemble
from headwater.applications.variants.held_out import held_out_nats
from headwater.applications.variants.members import EnsembleRecord, MemberPlan, MemberRecord, plan_members
from headwater.applications.variants.mutations import all_singles, read_variants
from headwater.applications.variants.pool import shares
from headwater.applications.variants.scoring import score_variants
from headwater.data import Dataset, open_dataset
from headwater.errors import DataError, UsageError
from headwater.pipeline import is_main_process, prepare, resume_run, train
from headwater.progress import Progress, SilentProgress
from headwater.runs.files import read_json, write_json
from headwater.runs.lock import RunLock
from headwater.runs.names import check_name
from headwater.runs.run import Run
from headwater.settings import DataSettings

__all__ = ["fit_protein"]

Settings = Mapping[str, Any]

_TEST = 0.05  # share of Neff kept for the held-out figures; another tenth decides when to stop


def fit_protein(
    alignment: str | Path,
    out: str | Path,
    *,
    kinds: Sequence[str] | None = None,
    seeds: int = 3,
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    settings: Mapping[str, Settings] | None = None,
    per_kind: Mapping[str, Mapping[str, Settings]] | None = None,
    progress: Progress | None = None,
) -> Ensemble:
    """Fit an ensemble to the alignment of a protein's family; the same call again goes on where it stopped.

    Args:
        alignment: A2M, A3M, Stockholm or aligned FASTA, maybe gzipped; its first sequence is the target.
        out: Folder to write: ``members/NAME`` is a run each, ``ensemble.json`` says what there is.
        kinds: Of members, see :data:`headwater.applications.variants.members.KINDS`; None: all.
        seeds: How many VAEs, each with a seed of its own.
        seed: Of the first.
        steps: Budget of each member that takes steps; None: its model's own.
        device: ``auto``, ``cpu``, ``cuda``.
        settings: Of every member, by section, as in a run's ``config.toml``.
        per_kind: Of the members of a kind, by section.
        progress: Who hears how far it is.

    Raises:
        DataError: the alignment cannot be used, or has changed since the ensemble was begun.
        UsageError: members or settings differ from those it was begun with.
        InterruptedRunError: stopped on request, everything saved.
    """
    progress, path = progress or SilentProgress(), Path(out)
    check_name(path.resolve().name)
    plans = plan_members(*(() if kinds is None else (kinds,)), seeds=seeds, seed=seed, settings=per_kind)
    chosen = dict((settings or {}).get("data", {}))
    data = {"test": _TEST, **chosen, "kind": "alignment", "path": str(Path(alignment).resolve())}
    common = {**(settings or {}), "data": data}
    dataset = open_dataset(None, DataSettings.parse(data, where="data"), progress=progress)
    (path / "members").mkdir(parents=True, exist_ok=True)
    finished = {plan.name for plan in plans if _record_of(path, plan.name).is_file()}
    if not is_main_process():
        for plan in plans:
            if plan.name not in finished:
                _fit_member(plan, dataset, path, common, steps, device, progress)
        return Ensemble.open(path, device=device or "auto")
    with RunLock(path / ".lock"):
        records = []
        for plan in plans:
            if plan.name not in finished:
                run = _fit_member(plan, dataset, path, common, steps, device, progress)
                write_json(_record_of(path, plan.name), _measure(run, plan, dataset, progress))
            records.append(_read(path, plan, dataset))
        return _publish(path, plans, records, dataset, Path(alignment), device)


def _record_of(path: Path, member: str) -> Path:
    return path / "members" / f"{member}.json"


def _fit_member(
    plan: MemberPlan,
    dataset: Dataset,
    path: Path,
    common: Mapping[str, Settings],
    steps: int | None,
    device: str | None,
    progress: Progress,
) -> Run:
    place = path / "members" / plan.name
    sections = {
        name: {**dict(common.get(name, {})), **dict(plan.settings.get(name, {}))} for name in {*common, *plan.settings}
    }
    explicit = {"training.steps": steps, "seed": plan.seed, "device": device}
    given = gather(plan.model, settings=sections, explicit=explicit)
    prepared = prepare(dataset, given, progress)
    if (place / "checkpoints").is_dir() and any((place / "checkpoints").glob("[0-9]*")):
        before = Run.load(place).settings
        if before.model != prepared.settings.model or before.optimizer != prepared.settings.optimizer:
            raise UsageError(
                f"{place} was begun with other settings of its model or optimizer.",
                hint="Give the same settings to go on, or another --out.",
            )
        return resume_run(place, dataset, budget={}, allow_data_change=False, progress=progress)
    return train(prepared, out=place, exist_ok=True)


def _measure(run: Run, plan: MemberPlan, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """What the ensemble needs to know of a fitted member."""
    alignment = dataset.schema.alignment
    assert alignment is not None
    with progress.phase(f"Measuring {plan.name}", total=1) as phase:
        scores, _ = score_variants(run, read_variants(all_singles(alignment), alignment), tolerance=math.inf)
        held = held_out_nats(run, dataset)
        phase.advance()
    training = run.checkpoint.state["training"]
    return {
        "fingerprint": dataset.fingerprint,
        "spread": float(scores.std()),
        "steps": run.step,
        "seconds": float(training["time"]["seconds"]),
        **({} if held is None else {"nats": held.nats, "nats_stderr": held.stderr, "nats_kind": held.kind}),
    }


def _read(path: Path, plan: MemberPlan, dataset: Dataset) -> MemberRecord:
    found = read_json(_record_of(path, plan.name))
    if found.pop("fingerprint", None) != dataset.fingerprint:
        raise DataError(
            f"The alignment is not the one that {path}/members/{plan.name} was fitted to.",
            hint="Put the file and its settings back as they were, or give another --out.",
        )
    values = {"name": plan.name, "kind": plan.kind, "independent": plan.independent, "share": 0.0, **found}
    return MemberRecord.parse(values, where=str(_record_of(path, plan.name)))


def _publish(
    path: Path,
    plans: Sequence[MemberPlan],
    records: Sequence[MemberRecord],
    dataset: Dataset,
    alignment: Path,
    device: str | None,
) -> Ensemble:
    info = dataset.schema.alignment
    assert info is not None
    share = shares(info.depth, [plan.kind for plan in plans])
    members = tuple(record.model_copy(update={"share": part}) for record, part in zip(records, share, strict=True))
    record = EnsembleRecord(alignment=alignment.name, fingerprint=dataset.fingerprint, notice=NOTICE, members=members)
    write_json(path / RECORD, record.model_dump(mode="json"))
    return Ensemble.open(path, device=device or "auto")
