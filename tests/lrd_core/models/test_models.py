"""The networks: their size, their shapes, and where standard dropout sits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrd_core.errors import DataNotFound
from lrd_core.models import build_model
from lrd_core.regularizers import StandardDropout

SIZES = {
    # 784·1000 + 1000 + 1000·1000 + 1000 + 1000·10 + 10
    ("fcnet", (1, 28, 28), 10): 1_796_010,
    # torchvision's 21,797,672 with 10 classes for 1,000 and a 3 × 3 stem for the 7 × 7 one
    ("resnet34", (3, 32, 32), 10): 21_282_122,
    # torchvision's 7,978,856, likewise with 100 classes
    ("densenet121", (3, 32, 32), 100): 7_048_676,
    # ResNet-50 without its classifier 23,508,032; pyramid 4·(2048·512 + 1024); heads
    # 4096·512·9 + 1024 + 512·21 + 21 and 1024·256·9 + 512 + 256·21 + 21
    ("pspnet", (3, 473, 473), 21): 48_957_802,
    # torchvision's 35,641,826 for COCO, less 70 classes of 14,848·9 + 30
    ("ssd300", (3, 300, 300), 21): 26_285_486,
}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("arguments", "size"), SIZES.items())
def test_a_model_has_as_many_parameters_as_it_should(
    arguments: tuple[str, tuple[int, int, int], int], size: int
) -> None:
    model = build_model(*arguments, seed=0)
    assert parameters(model) == size
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet34", "densenet121"])
def test_the_cifar_stem_keeps_the_resolution(name: str) -> None:
    model = build_model(name, (3, 32, 32), 10, seed=0)
    stem = getattr(model, "conv1", None) or model.features.conv0  # type: ignore[union-attr]
    assert (stem.kernel_size, stem.stride, stem.padding) == ((3, 3), (1, 1), (1, 1))
    pool = getattr(model, "maxpool", None) or model.features.pool0  # type: ignore[union-attr]
    assert isinstance(pool, nn.Identity)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("fcnet", 2),
        # after the stem's ReLU, and three in each of 3 + 4 + 6 + 3 blocks
        ("resnet34", 1 + 3 * 16),
        ("densenet121", 6 + 12 + 24 + 16),
    ],
)
def test_standard_dropout_sits_in_its_places_and_is_off_in_evaluation(
    name: str, places: int
) -> None:
    seeds = iter(range(1000))
    plain = build_model(name, (3, 32, 32), 10, seed=0)
    model = build_model(
        name, (3, 32, 32), 10, seed=0, dropout=lambda: StandardDropout(0.5, next(seeds))
    )
    layers = [module for module in model.modules() if isinstance(module, StandardDropout)]
    assert len(layers) == places
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), plain.eval()(images))
        model.train()(images)
    assert all(int(layer.passes) == 1 for layer in layers)


def test_weights_are_a_function_of_the_seed_and_leave_the_generators_alone() -> None:
    torch.manual_seed(5)
    after = torch.rand(3)
    torch.manual_seed(5)
    first = build_model("fcnet", (1, 8, 8), 10, seed=1)
    torch.testing.assert_close(torch.rand(3), after, rtol=0, atol=0)
    same, other = (build_model("fcnet", (1, 8, 8), 10, seed=seed) for seed in (1, 2))
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_pspnet_gives_logits_for_each_pixel_and_twice_while_training() -> None:
    model = build_model("pspnet", (3, 65, 65), 21, seed=0)
    images = torch.rand(2, 3, 65, 65)
    with torch.no_grad():
        assert model.eval()(images).shape == (2, 21, 65, 65)
        assert [logits.shape for logits in model.train()(images)] == [(2, 21, 65, 65)] * 2
        features = model.backbone(images)  # type: ignore[operator]
    # The dilated stages keep an eighth of the resolution: 65 = 8·8 + 1 gives 9.
    assert features["last"].shape == (2, 2048, 9, 9)
    assert features["middle"].shape == (2, 1024, 9, 9)


def test_weights_that_cannot_be_fetched_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> Callable[[], Tensor]:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(DataNotFound, match=r"no route to host.*leave `pretrained` out"):
        build_model("ssd300", (3, 300, 300), 21, seed=0, pretrained=True)
