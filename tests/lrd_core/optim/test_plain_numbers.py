"""Numbers of NumPy's are taken as what they are worth, and saved as plain ones."""

import io
from typing import Any

import numpy as np
import pytest
import torch

from lrd_core.optim import learning_rate_dropout
from lrd_core.optim.fused import FusedSGDM
from lrd_core.optim.mask import keep_mask
from tests.lrd_core.optim.test_hooks import ones, sgd


def test_a_seed_of_numpy_s_is_a_seed() -> None:
    """Catches: Python integer 18446744073709551615 out of bounds for int64."""
    seed: Any = np.int64(3)
    universal = learning_rate_dropout(sgd([ones(4)]), seed=seed)
    for optimizer in (universal, FusedSGDM([ones(4)], seed=seed)):
        assert type(optimizer.param_groups[0]["lrd_seed"]) is int
    assert torch.equal(keep_mask(seed, 1, 100, 0.5), keep_mask(3, 1, 100, 0.5))


@pytest.mark.parametrize("form", ["universal", "fused"])
def test_a_keep_prob_of_numpy_s_is_saved_as_a_plain_number(form: str) -> None:
    """Catches: a checkpoint that torch refuses to load: `Unsupported global: numpy.dtype`."""
    rate: Any = np.float64(0.25)
    param, saved = ones(4), io.BytesIO()
    optimizer = (
        FusedSGDM([param], lr=1.0, keep_prob=rate)
        if form == "fused"
        else learning_rate_dropout(sgd([param]), rate)
    )
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    assert torch.load(saved, weights_only=True)["param_groups"][0]["keep_prob"] == 0.25
    optimizer.param_groups[0]["keep_prob"] = np.linspace(0.25, 1.0, 4)[1]  # a schedule of p
    param.grad = torch.ones(4)
    optimizer.step()
    assert type(optimizer.param_groups[0]["keep_prob"]) is float
