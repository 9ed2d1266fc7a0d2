"""Protein variant effects from evolution: an alignment of a family in, a score for every substitution out.

Scores say how much less likely nature finds a variant than the protein as it is. They are for research:
:data:`NOTICE` goes with everything that is written or printed here.
"""

from __future__ import annotations

from headwater.applications.variants.notice import NOTICE

__all__ = ["NOTICE"]
