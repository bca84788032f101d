"""The kernels of a GPU, run by Triton's interpreter on the CPU: the same source, another reader."""

import contextlib
import functools
import importlib.util
import os
from types import ModuleType
from unittest import mock

from lrd_core.optim import kernels


@functools.cache
def interpreted() -> ModuleType:
    """A second copy of `lrd_core.optim.kernels.gpu`; the first is as it was."""
    spec = importlib.util.find_spec(f"{kernels.__name__}.gpu")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):  # it asks when a kernel is defined
        spec.loader.exec_module(module)
    module._current = lambda device: contextlib.nullcontext()  # type: ignore[attr-defined]
    return module
