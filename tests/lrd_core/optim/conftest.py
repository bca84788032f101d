"""The two families of kernels, each to be held against the universal form."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lrd_core.optim import kernels
from lrd_core.optim.kernels import native
from tests.lrd_core.optim.interpreted import interpreted


@pytest.fixture(params=["native", "gpu"])
def kernel_family(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Those of a CPU; and those of a GPU, run on the CPU by Triton's interpreter."""
    if request.param == "native":
        if reason := kernels.cannot_run(torch.device("cpu")):
            pytest.skip(f"no kernels can be built here: {reason}")
        monkeypatch.setattr(kernels, "_kernels_of", lambda device: native)
        yield
    else:
        pytest.importorskip("triton", reason="there is no Triton for this platform")
        monkeypatch.setattr(kernels, "_kernels_of", lambda device: interpreted())
        with np.errstate(all="ignore"):  # the interpreter's arithmetic is numpy's; a GPU warns not
            yield
