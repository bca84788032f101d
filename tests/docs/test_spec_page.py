"""docs/spec.md leaves no field out, and the metrics that it lists are those that trials report."""

import re
from typing import Any

import pytest
import yaml

from lrd_core.extending import Extension
from lrd_core.spec import SweepSpec, TrialSpec, expand
from lrd_core.training import TrainState, train
from tests.docs.pages import ROOT, block

PAGE = (ROOT / "docs" / "spec.md").read_text()
ROOTS = (SweepSpec, TrialSpec, Extension)


def fields() -> list[tuple[str, dict[str, Any]]]:
    """`Model.field` and its schema, of all that a spec may hold."""
    found = {}
    for root in ROOTS:
        schema = root.model_json_schema()
        for model, each in {**schema["$defs"], root.__name__: schema}.items():
            found |= {f"{model}.{name}": field for name, field in each["properties"].items()}
    return list(found.items())


@pytest.mark.parametrize(("name", "schema"), fields(), ids=lambda part: str(part)[:40])
def test_every_field_has_its_sentence(name: str, schema: dict[str, Any]) -> None:
    """Catches: a field without a docstring, and one that the page leaves out."""
    if "const" in schema:  # the name that tells an optimizer or a regularizer
        assert f"`{schema['const']}`" in PAGE
    else:
        assert " ".join(schema["description"].split()) in PAGE or name == "PluginOptimizer.name"
        assert f"`{name.split('.')[1]}`" in PAGE


def test_its_example_has_as_many_trials_as_it_says() -> None:
    sweep = SweepSpec.parse(yaml.safe_load(block("docs/spec.md", "yaml").text))
    (said,) = re.findall(r"seeds: (\d+) trials", PAGE)
    assert len(expand(sweep)) == int(said)
    assert sweep.model_fields_set == SweepSpec.model_fields.keys()


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ("classification", {"dataset": "digits", "model": "fcnet"}),
        ("descent", {"dataset": "surface", "model": "point", "data": {"surface": "saddle"}}),
    ],
)
def test_the_metrics_of_a_task(task: str, asked: dict[str, Any]) -> None:
    trial = TrialSpec.parse(asked | {"optimizer": {"name": "sgdm"}, "epochs": 1})
    (report,) = train(trial, TrainState.create(trial))
    (row,) = re.findall(rf"^\| {task} \|(.*)\|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == report.metrics.keys()
