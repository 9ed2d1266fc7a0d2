"""A fitted ensemble in a few lines: what the alignment is, how far to trust it, who counts how much."""

from __future__ import annotations

from headwater.applications.variants.ensemble import Ensemble
from headwater.applications.variants.trust import trust

__all__ = ["summary"]


def summary(ensemble: Ensemble) -> str:
    """The alignment, the trust that its depth allows, and a table of the members."""
    info = ensemble.alignment
    counting = sum(member.share for member in ensemble.members if member.independent)
    lines = [
        f"{info.name}: {info.sequences:,} sequences, {len(info.positions)} positions, Neff {info.neff:,.1f}",
        trust(info.neff, len(info.positions), counting).words,
        f"{'member':<12}{'share':>7}{'spread':>9}   held-out nats per residue",
    ]
    for member in ensemble.members:
        nats = "-" if member.nats is None else f"{member.nats:.4f} +- {member.nats_stderr:.4f} ({member.nats_kind})"
        lines.append(f"{member.name:<12}{member.share:>7.1%}{member.spread:>9.3f}   {nats}")
    return "\n".join(lines)
