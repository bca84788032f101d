"""Steps within steps: a subclass whose `step()` calls `super().step()` runs its hooks twice.

It does so only where the base class was used before in the same process, for torch puts the hooks
around a class's `step` when its first optimizer is made.
"""

import sys

from torch.optim import Optimizer

_AROUND_STEP = Optimizer.profile_hook_step(lambda: None).__code__
"""Of torch's wrapper, which calls the hooks; every optimizer's is the same code."""


def is_inner_step(optimizer: Optimizer) -> bool:
    """Whether the hook that asks was called by a step within another step of `optimizer`.

    The call stack is asked, and no count is kept, for a count would be wrong after a step that
    raised.
    """
    steps, frame = 0, sys._getframe()
    while frame.f_back is not None and steps < 2:
        frame = frame.f_back
        steps += frame.f_code is _AROUND_STEP and frame.f_locals.get("self") is optimizer
    return steps == 2
