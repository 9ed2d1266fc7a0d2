"""The laws: what every registered model must obey, each a function of a case that asserts.

B events, D elements. All laws run in float64 unless they are about float32.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.testing.cases import Case
from headwater.testing.laws.contract import (
    codes_have_one_shape,
    context_matters,
    float32_agrees_with_float64,
    noise_and_events_correspond,
    representation_names_the_model,
    saving_and_loading_changes_nothing,
)
from headwater.testing.laws.densities import (
    a_joint_sample_knows_its_density,
    a_score_does_not_depend_on_its_batch,
    density_integrates_to_one,
    samples_follow_the_density,
)
from headwater.testing.laws.samples import a_sample_does_not_depend_on_its_batch, samples_are_events
from headwater.testing.laws.training import (
    every_parameter_gets_a_gradient,
    loss_is_a_finite_scalar,
    loss_is_a_mean_over_events,
)

__all__ = ["LAWS"]

LAWS: dict[str, Callable[[Case], None]] = {
    law.__name__: law
    for law in (
        loss_is_a_finite_scalar,
        every_parameter_gets_a_gradient,
        loss_is_a_mean_over_events,
        samples_are_events,
        a_sample_does_not_depend_on_its_batch,
        context_matters,
        a_score_does_not_depend_on_its_batch,
        density_integrates_to_one,
        samples_follow_the_density,
        a_joint_sample_knows_its_density,
        saving_and_loading_changes_nothing,
        float32_agrees_with_float64,
        noise_and_events_correspond,
        codes_have_one_shape,
        representation_names_the_model,
    )
}
