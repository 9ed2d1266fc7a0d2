"""Units that start alike learn alike: a network of them starts as one."""

from __future__ import annotations

import torch

from headwater.bijections.block_autoregressive import BlockAutoregressive


def test_hidden_units_of_a_block_autoregressive_network_bend_all_over_the_data() -> None:
    layer = BlockAutoregressive(1, hidden=8, layers=1).double()
    x = torch.linspace(-5, 5, 10_001, dtype=torch.float64)[:, None]
    inner, _ = layer.layers[0](x, x.new_zeros(len(x), 1, 1))
    places = x[inner.abs().argmin(dim=0), 0].sort().values
    assert places.diff().min() > 0.5
    assert (places.min(), places.max()) == (-places.max(), -places.min())
    assert 2 < places.max() < 4


def test_one_hidden_unit_stands_in_the_middle() -> None:
    layer = BlockAutoregressive(1, hidden=1, layers=1).double()
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    inner, _ = layer.layers[0](x, x.new_zeros(len(x), 1, 1))
    torch.testing.assert_close(inner, -inner.flip(0))
