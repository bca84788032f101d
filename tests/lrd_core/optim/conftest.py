"""The two families of kernels, each to be held against the universal form."""

import pytest
import torch

from lrd_core.optim import kernels
from lrd_core.optim.kernels import compiled, native


@pytest.fixture(params=["native", "compiled"])
def kernel_family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a CPU; and those of a GPU, run on the CPU as the plain torch that they are.

    What torch.compile makes of the latter is seen in `kernels/test_compiled.py`.
    """
    if request.param == "native":
        if reason := kernels.cannot_run(torch.device("cpu")):
            pytest.skip(f"no kernels can be built here: {reason}")
        monkeypatch.setattr(kernels, "_kernels_of", lambda device: native)
    else:
        monkeypatch.setattr(kernels, "_kernels_of", lambda device: compiled)
        monkeypatch.setattr(compiled, "compiled", lambda kernel: kernel)
