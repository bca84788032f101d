"""Which parts of a configuration go together."""

from typing import Any

import pytest

from lrd_core.choices import MODELS_FOR, TASK_OF
from lrd_core.errors import InvalidSpec
from lrd_core.spec import TrialSpec

SURFACE: dict[str, Any] = {"dataset": "surface", "data": {"surface": "toy"}, "model": "point"}
DIGITS: dict[str, Any] = {"dataset": "digits", "model": "fcnet"}
VOC: dict[str, Any] = {"dataset": "voc_segmentation", "model": "pspnet"}


def spec(parts: dict[str, Any]) -> TrialSpec:
    return TrialSpec.parse({"optimizer": {"name": "adam"}, "epochs": 1} | parts)


@pytest.mark.parametrize(
    ("parts", "pointer", "detail"),
    [
        (DIGITS | {"dataset": "zork"}, "/dataset", "unknown dataset 'zork'; one of cifar10, "),
        (DIGITS | {"model": "zork"}, "/model", "unknown model 'zork'; one of densenet121, "),
        (DIGITS | {"task": "zork"}, "/task", "unknown task 'zork'"),
        (
            DIGITS | {"regularizers": ["SD", "SD"]},
            "/regularizers",
            "each kind is allowed only once",
        ),
        (DIGITS | {"schedule": {"milestones": [2, 1]}}, "/schedule", "milestones must rise"),
        (DIGITS | {"pretrained": True}, "/pretrained", "no pretrained weights for model fcnet"),
        (
            SURFACE | {"data": {"surface": "toy", "max_examples": 5}},
            "/data",
            "max_examples does not go with dataset surface",
        ),
        (
            DIGITS | {"optimizer": {"name": "sgdm", "momentum": 0.0, "nesterov": True}},
            "/optimizer",
            "nesterov needs a momentum above 0",
        ),
        (DIGITS | {"optimizer": {"name": "zork"}}, "/optimizer/name", "unknown name 'zork'; one"),
        (DIGITS | {"optimizer": {"name": 3}}, "/optimizer/name", "unknown name '3'"),
        (DIGITS | {"optimizer": {"lr": 0.1}}, "/optimizer/name", "missing"),
        (DIGITS | {"task": "detection"}, "/task", "digits is for classification, not detection"),
        (DIGITS | {"model": "resnet34"}, "", "resnet34 does not go with dataset digits; one of"),
        (DIGITS | {"data": {"surface": "toy"}}, "/data", "surface does not go with"),
        (DIGITS | {"data": {"crop_size": 65}}, "/data", "crop_size does not go with"),
        (SURFACE | {"data": {"surface": "toy", "cutout": 4}}, "/data", "cutout does not go with"),
        (DIGITS | {"data": {"max_examples": 0}}, "/data/max_examples", "greater than"),
        (SURFACE | {"data": {}}, "/data", "needs data.surface: toy or saddle"),
        ({"dataset": "surface", "model": "point"}, "/data", "needs data.surface"),
        (SURFACE | {"data": {"surface": "hill"}}, "/data/surface", "'toy' or 'saddle'"),
        (SURFACE | {"regularizers": ["SD"]}, "/regularizers", "SD does not go with model point"),
        (SURFACE | {"regularizers": ["NL"]}, "/regularizers", "NL replaces the labels"),
        (VOC | {"regularizers": ["SD"]}, "/regularizers", "SD does not go with model pspnet"),
        (VOC | {"regularizers": ["NL"]}, "/regularizers", "this task is segmentation"),
    ],
)
def test_what_does_not_go_together_is_refused_where_it_stands(
    parts: dict[str, Any], pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec(parts)
    (fault,) = caught.value.faults
    assert fault.pointer == pointer
    assert detail in fault.detail


def test_every_data_set_has_a_model_and_a_task() -> None:
    assert MODELS_FOR.keys() == TASK_OF.keys()
    for dataset, models in MODELS_FOR.items():
        options = {"data": {"surface": "toy"}} if dataset == "surface" else {}
        for model in models:
            trial = spec({"dataset": dataset, "model": model, **options})
            assert trial.task_name == TASK_OF[dataset]


def test_what_is_left_out_does_not_show() -> None:
    config = spec(DIGITS).config()
    assert not {"data", "task"} & set(config)
    assert spec(SURFACE).config()["data"] == {"surface": "toy"}


def test_gradient_regularizers_go_with_every_task() -> None:
    for parts in (SURFACE, DIGITS, VOC):
        assert len(spec(parts | {"regularizers": ["NG", "DG"]}).regularizers) == 2
