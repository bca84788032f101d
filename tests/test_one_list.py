"""Where a list has to stand twice (for a type checker, a browser, a reader), both are equal."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from lrd_core import choices, configuration, titles
from lrd_core.choices import (
    CLASSIFIERS,
    CONVOLUTIONAL,
    HELD_OUT,
    METRICS,
    MODELS,
    MODELS_FOR,
    PRETRAINED,
    TASK_OF,
    TASKS,
)
from service.choices import Role
from service.lifecycle import TERMINAL, TRANSITIONS, SweepState, TrialState
from service.store.models import Base

ROOT = Path(__file__).parents[1]
WEB = ROOT / "service" / "web"


def script(name: str, constant: str) -> Any:
    """A constant of one of the page's modules."""
    found = re.search(rf"\b{constant} = ([\[{{].*?[\]}}]);", (WEB / name).read_text())
    assert found is not None
    return json.loads(re.sub(r"(\w+):", r'"\1":', found[1]))


def test_the_page_knows_the_states() -> None:
    assert set(script("parts.js", "TRIAL_STATES")) == set(TrialState)
    assert set(script("pages/sweeps.js", "SWEEP_STATES")) == set(SweepState)
    assert script("format.js", "SIGNS").keys() == {*TrialState, *SweepState}
    styles = (WEB / "page.css").read_text()
    for state in {*TrialState, *SweepState}:
        assert f".{state}" in styles, state


def test_the_end_of_a_trial_is_where_only_a_user_leads_on() -> None:
    assert {state for state, to in TRANSITIONS.items() if to <= {TrialState.queued}} == TERMINAL


def test_a_sweeps_row_counts_every_state() -> None:
    columns = Base.metadata.tables["sweeps"].columns.keys()
    assert {*TrialState} <= {*columns}


def test_the_roles_of_the_database() -> None:
    (check,) = (
        str(each.sqltext)  # type: ignore[attr-defined]
        for each in Base.metadata.tables["tokens"].constraints
        if getattr(each, "sqltext", None) is not None
    )
    assert re.findall(r"'(\w+)'", check) == [*Role]


OPTIMIZERS = [
    get_args(member)[1].tag
    for member in get_args(get_args(configuration.OptimizerSpec)[0])
    if get_args(member)[0] is not configuration.PluginOptimizer
]


def test_the_optimizers() -> None:
    assert {*OPTIMIZERS} == choices.OPTIMIZERS
    assert {*OPTIMIZERS} <= titles._PROPER.keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_tagged_by_its_own_name(name: str) -> None:
    from pydantic import TypeAdapter

    made: Any = TypeAdapter(configuration.OptimizerSpec).validate_python({"name": name})
    assert get_args(type(made).model_fields["name"].annotation) == (name,)


def test_the_models_and_data_sets() -> None:
    from lrd_core.datasets import images
    from lrd_core.models import build

    assert build._BUILDERS.keys() == MODELS - {"point"}  # a descent makes its own
    assert build._PRETRAINED.keys() == {*PRETRAINED}
    fitting = [MODELS_FOR[name] for name, task in TASK_OF.items() if task == "classification"]
    assert {*CLASSIFIERS} == {model for models in fitting for model in models}
    assert {*HELD_OUT} < TASK_OF.keys()
    assert METRICS.keys() == TASKS
    classified = {name for name, task in TASK_OF.items() if task == "classification"}
    assert images._LOADERS.keys() == classified


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_models_with_convolutions(name: str) -> None:
    """Catches: a new model that is slow because its images are never channels-last."""
    from torch import nn

    from lrd_core.models import build_model

    model = build_model(name, (3, 32, 32), 10, seed=0)
    assert any(isinstance(part, nn.Conv2d) for part in model.modules()) == (name in CONVOLUTIONAL)
