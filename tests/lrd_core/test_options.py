"""Further arguments of another package's optimizer, from the spec to its constructor."""

from typing import Any

import pytest
import torch

from lrd_core import plugins
from lrd_core.configuration import PluginOptimizer
from lrd_core.errors import InvalidSpec
from lrd_core.faults import parsed
from lrd_core.optim import build_optimizer
from lrd_core.spec import config_hash


def optimizer(**options: Any) -> PluginOptimizer:
    return parsed(PluginOptimizer, {"name": "lion", "lr": 0.5, "options": options})


def test_an_optimizer_is_given_betas_as_torch_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: an optimizer that cannot be given what all of torch's Adams are given."""

    given: dict[str, Any] = {}

    def call(group: str, name: str, params: Any, **arguments: Any) -> Any:
        given.update(arguments)
        return torch.optim.AdamW(params, **arguments)

    monkeypatch.setattr(plugins, "call", call)
    spec = optimizer(betas=[0.5, 0.75], foreach=None, amsgrad=True)
    build_optimizer(spec, [torch.nn.Parameter(torch.ones(2))], seed=0)
    options = {"betas": (0.5, 0.75), "foreach": None, "amsgrad": True}
    assert given == {"lr": 0.5, "weight_decay": 0.0} | options
    assert spec.model_dump(mode="json")["options"]["betas"] == [0.5, 0.75]


@pytest.mark.parametrize(
    "value", [{"a": 1}, [[0.9]], ["a"], [True], [float("nan")], float("inf"), [0.5] * 51]
)
def test_one_sentence_says_what_an_option_may_be(value: Any) -> None:
    """Catches: four faults of one value, each of which says something else."""
    with pytest.raises(InvalidSpec) as caught:
        optimizer(betas=value)
    (fault,) = caught.value.faults
    assert fault.pointer == "/options/betas"
    assert fault.detail.startswith("should be a finite number, a text, true, false, null or a list")
    assert fault.detail.count("got") == 1


def test_options_of_old_specs_keep_their_kinds_and_so_their_hash() -> None:
    """Catches: an arm that is no longer found again by `reuse`."""
    spec = optimizer(beta=0.8, n=1, m=1.0, on=True, kind="1")
    assert [type(value) for value in spec.options.values()] == [float, int, float, bool, str]
    assert (
        config_hash(spec.model_dump(mode="json"))
        == "703fbf027fdd08515fd84a7c09dc72725aff3264b1bd2ffd5547ab0fffb462d7"
    )
