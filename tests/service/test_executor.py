"""What the dispatcher makes of the outcomes that workers tell."""

import pytest

from lrd_core.messages import Outcome
from service.executor import had_memory_alone, reason_of
from service.lifecycle import Reason
from service.placement import Place


@pytest.mark.parametrize(
    ("outcome", "place", "alone"),
    [
        (Outcome.oom, Place("n", 1, 0.25, 0), False),
        (Outcome.oom, Place("n", 1, 1, 0), True),  # the whole GPU was its own
        (Outcome.oom, Place("n", 1, 0.25, 0, exclusive=True), True),
        (Outcome.node_oom, Place("n", 1, 1, 0), False),  # but not the node
        (Outcome.node_oom, Place("n", 4, 1, 0, exclusive=True), True),
    ],
)
def test_out_of_memory_is_final_where_nothing_shared_that_memory(
    outcome: Outcome, place: Place, alone: bool
) -> None:
    assert reason_of(outcome) is Reason.oom
    assert had_memory_alone(outcome, place) is alone


def test_every_outcome_has_a_reason_or_is_done() -> None:
    """Catches: an outcome that workers know, and the dispatcher dies of."""
    reasons = {outcome: reason_of(outcome) for outcome in Outcome}
    assert [outcome for outcome, reason in reasons.items() if reason is None] == [Outcome.done]
    assert reasons[Outcome.no_data] is Reason.error
    assert reasons[Outcome.lost] is Reason.lost
