"""What a trial holds is free as soon as it is done."""

import gc
import weakref
from contextlib import suppress
from typing import Any

from lrd_core.report import EpochReport
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train

with suppress(ImportError):
    # When it is imported, errors are raised and caught in cycles that hold whoever imports it.
    import torchmetrics.detection  # noqa: F401


def trained_and_freed(trial: TrialSpec, **options: Any) -> list[EpochReport]:
    """Its reports; after them neither its network nor its moments wait for garbage to be collected,
    or the next trial of the process would have to find room beside them."""
    gc.disable()
    try:
        state = TrainState.create(trial, **options)
        gone = weakref.ref(state.model), weakref.ref(state.optimizer)
        reports = list(train(trial, state))
        del state
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
    return reports
