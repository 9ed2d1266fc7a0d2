from __future__ import annotations

import pytest

from tests.training import stand_ins


@pytest.fixture(autouse=True)
def _stand_in_models(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.register(monkeypatch.setattr)
    monkeypatch.setitem(stand_ins.FAULT, "factor", None)
    monkeypatch.setitem(stand_ins.FAULT, "calls", 0)
