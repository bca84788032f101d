"""Transfers to the device that the host does not wait for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def to_device(values: Tensor | Sequence[Any], device: torch.device) -> Tensor:
    """`values` on the device. Unlike `torch.tensor(…, device=device)`, this does not wait until the
    device has finished its earlier work."""
    tensor = values if isinstance(values, Tensor) else torch.tensor(values)
    return tensor.to(device, non_blocking=True)
