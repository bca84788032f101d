"""A sweep given as a trial, or a trial as a sweep, is refused by one sentence with a remedy."""

from typing import Any

import pytest

from lrd_core.errors import InvalidSpec
from lrd_core.spec import SweepSpec, TrialSpec
from tests.lrd_core.test_spec import SWEEP

TRIAL = SWEEP["base"]
RUN = (
    "/: this is one trial, not a sweep: run it with `lrd run FILE`, or put its fields below "
    "`base:` and submit that"
)
SUBMIT = "/: this is a sweep, not a single trial: submit it with `lrd submit FILE`"


def said(kind: type[SweepSpec | TrialSpec], document: Any) -> str:
    with pytest.raises(InvalidSpec) as caught:
        kind.parse(document)
    return str(caught.value)


@pytest.mark.parametrize("document", [TRIAL, TRIAL | {"seed": 3}, {"optimizer": {"name": "adam"}}])
def test_a_trial_that_is_submitted(document: dict[str, Any]) -> None:
    """Catches: eight faults (`/dataset: unknown field`, `/base: missing`), none of which says what
    is wrong."""
    assert said(SweepSpec, document) == RUN


def test_a_sweep_whose_base_lies_flat() -> None:
    flat = {name: value for name, value in SWEEP.items() if name != "base"} | TRIAL
    assert said(SweepSpec, flat) == (
        "/base: missing; move dataset, model, optimizer, epochs below it"
    )


@pytest.mark.parametrize("document", [SWEEP, SWEEP | TRIAL, {"name": "x", "seeds": 3}])
def test_a_sweep_that_is_run_as_a_trial(document: dict[str, Any]) -> None:
    assert said(TrialSpec, document) == SUBMIT


def test_a_slip_in_either_is_answered_as_before() -> None:
    """Catches: `this is a sweep`, to one who wrote `seeds` in a trial, for `seed`."""
    assert said(TrialSpec, TRIAL | {"seeds": 3}) == "/seeds: unknown field (did you mean 'seed'?)"
    assert said(SweepSpec, SWEEP | {"epochs": 3}).startswith("/epochs: unknown field; one of name")
    assert said(SweepSpec, {"name": "x"}) == "/base: missing; this field is required"
    assert said(TrialSpec, {}).count("missing") == 4


@pytest.mark.parametrize(
    ("left_out", "axis"),
    [("optimizer", "optimizer.name"), ("epochs", "epochs"), ("model", "model")],
)
def test_who_leaves_to_the_grid_what_the_base_must_have_is_told(left_out: str, axis: str) -> None:
    """Catches: `this field is required`, to one who sees it in the grid."""
    base = {name: value for name, value in SWEEP["base"].items() if name != left_out}
    missing = f"/base/{left_out}: missing; this field is required"
    document = SWEEP | {"base": base, "grid": {axis: [1]}}
    assert said(SweepSpec, document) == (
        f"{missing}, also where the grid has {axis}: an axis replaces what the base says"
    )
    for grid in ({f"{left_out}s": [1]}, {}, [axis]):
        assert missing in said(SweepSpec, document | {"grid": grid}).splitlines()
