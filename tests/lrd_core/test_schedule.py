"""The learning rate over the epochs."""

from typing import Any

import pytest
import torch

from lrd_core.configuration import Schedule
from lrd_core.schedule import build_scheduler


def rates(epochs: int, **schedule: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_scheduler(Schedule(**schedule), optimizer, epochs)
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_milestones_divide_the_rate_after_their_epoch() -> None:
    assert rates(4, milestones=[1, 3], gamma=0.1) == pytest.approx([1, 0.1, 0.1, 0.01])


def test_a_power_lets_the_rate_fall_to_nothing_over_the_trial() -> None:
    expected = [(1 - epoch / 5) ** 0.9 for epoch in range(5)]
    assert rates(5, power=0.9) == pytest.approx(expected)


def test_milestones_and_power_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not both"):
        Schedule(milestones=[1], power=0.9)
