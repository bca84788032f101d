"""What becomes of a trial when an attempt ends: the decision table, without a database."""

from typing import Any

import pytest

from service.lifecycle import MAX_LOST, MAX_STALLED, Reason, TrialState
from service.store.models import Trial
from service.store.settling import Verdict, verdict

QUEUED, FAILED = TrialState.queued, TrialState.failed
ONCE_MORE = "out of memory; it runs once more, alone on a node"
TOO_LARGE = "out of memory, though nothing ran beside it: it needs more memory"


def trial(**columns: Any) -> Trial:
    """A running trial that has done both of its epochs."""
    return Trial(**{"epochs": 2, "epochs_done": 2, "losses": 0, "alone": False} | columns)


@pytest.mark.parametrize(
    ("columns", "reason", "facts", "expected"),
    [
        ({}, None, {"recorded": 2}, (TrialState.succeeded, None, "said")),
        ({}, None, {"recorded": 1}, (FAILED, Reason.error, "ended after 2 of 2 epochs")),
        ({"epochs_done": 1}, None, {"recorded": 1},
         (FAILED, Reason.error, "ended after 1 of 2 epochs")),
        ({}, Reason.lost, {}, (QUEUED, Reason.lost, "said", {"losses": 1}, 1.0)),
        ({"losses": 3}, Reason.lost, {}, (QUEUED, Reason.lost, "said", {"losses": 4}, 8.0)),
        ({"losses": MAX_LOST}, Reason.lost, {}, (FAILED, Reason.lost, "said")),
        ({"losses": MAX_STALLED - 1}, Reason.stalled, {},
         (QUEUED, Reason.stalled, "said", {"losses": MAX_STALLED}, 16.0)),
        ({"losses": MAX_STALLED}, Reason.stalled, {}, (FAILED, Reason.stalled, "said")),
        ({}, Reason.user, {}, (QUEUED, None, "said")),
        *(({}, reason, {}, (FAILED, reason, "said"))
          for reason in (Reason.error, Reason.diverged, Reason.timeout)),
    ],
)  # fmt: skip
def test_an_end_decides_state_reason_and_pause(
    columns: dict[str, Any], reason: Reason | None, facts: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert verdict(trial(**columns), reason, "said", **facts) == Verdict(*expected)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("unshared", [False, True])
def test_out_of_memory_is_tried_once_more_where_others_shared_it(
    alone: bool, unshared: bool
) -> None:
    expected = (
        Verdict(FAILED, Reason.oom, TOO_LARGE)
        if alone or unshared
        else Verdict(QUEUED, Reason.oom, ONCE_MORE, {"alone": True})
    )
    assert verdict(trial(alone=alone), Reason.oom, unshared=unshared) == expected


@pytest.mark.parametrize("reason", [None, *Reason])
def test_whatever_ends_a_cancelled_trial_it_is_cancelled(reason: Reason | None) -> None:
    cancelled = trial(cancel_requested_at=1.0)
    expected = Verdict(TrialState.cancelled, Reason.user, "said")
    assert verdict(cancelled, reason, "said", recorded=2) == expected
