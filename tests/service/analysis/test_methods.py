"""What a paper says of how its numbers were made: all of it recorded, nothing left out."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lrd_core.titles import KEEP_PROB
from service.analysis import methods
from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.data import ArmInfo, Observation
from service.analysis.effects import effects_of
from service.analysis.methods import Methods, Ran
from service.analysis.mixtures import Provenance

from . import latex
from .cases import Value, arm, pair, trials

MADE = (Provenance("plain", "d" * 64, "0.1.0+ab12", torch="2.15.0", device="NVIDIA H200"),)
H200 = (("NVIDIA H200", 3, True),)


def said(
    arms: Sequence[ArmInfo],
    observations: Sequence[Observation],
    *,
    at: str = "last",
    baseline: Sequence[str] = (KEEP_PROB,),
    **known: Any,
) -> Methods:
    seeds = tuple(sorted({each.seed for each in observations}))
    summaries = summarise(arms, observations)
    marked = any(each.is_baseline for each in arms)
    return methods.describe(
        summaries,
        compare(summaries, observations, baseline=baseline) if marked else [],
        Ran(seeds, **{"made": MADE, "devices": H200} | known),
        effects=effects_of(arms, observations, baseline=baseline),
        metric="test_accuracy",
        at=at,
        baseline=baseline,
    )


def of(found: Methods) -> dict[str, str]:
    return {each.title: each.text for each in found.paragraphs}


def of_pair(plain: Sequence[Value], lrd: Sequence[Value], **more: Any) -> dict[str, str]:
    both = [*trials("plain", plain), *trials("lrd", lrd)]
    return of(said(pair(), both, **more))


def test_what_all_arms_have_is_said_once_and_in_what_they_differ_beside_it() -> None:
    arms = [
        arm(f"{name} {keep_prob}", name=name, lr=lr, keep_prob=keep_prob, epochs=30)
        for name, lr in (("sgdm", 0.1), ("adam", 0.001))
        for keep_prob in (1.0, 0.5)
    ]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
    found = of(said(arms, observations))
    text = found["Training"]
    assert text.startswith("FCNet was trained on digits for 30 epochs in batches of 128. ")
    assert "The 4 arms differ in optimizer (SGDM, Adam); keep_prob (1, 0.5). " in text
    assert "digits has 1,437 images to train on and 360 to evaluate on." in text
    assert "With the same seed, arms start from the same weights" in found["Seeds"]
    assert "With the same seed" not in of(said(arms[:1], observations[:2]))["Seeds"]
    assert "Optimizers: SGDM (learning rate 0.1); Adam (learning rate 0.001)." in text
    assert "each element of the weights keeps its learning rate with probability keep_prob" in text


def test_what_differs_is_not_said_of_all_and_nothing_of_it_is_left_out() -> None:
    """Catches: the first arm's epochs, said of every arm; batches of 32 against batches of 64."""
    arms = [
        arm("a", dataset="mnist", epochs=3, batch_size=32),
        arm("b", dataset="mnist", epochs=5, batch_size=64, model="resnet34", keep_prob=0.5),
    ]
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    found = of(said(arms, observations))
    assert found["Training"].startswith(
        "FCNet and ResNet-34 were trained on MNIST. The 2 arms differ in model (FCNet, ResNet-34). "
        "Along with these, they differ in keep_prob (1 in a; 0.5 in b); epochs (3 in a; 5 in b); "
        "batch size (32 in a; 64 in b). "
    )
    assert "arms with the same model and data set start from the same weights." in found["Seeds"]
    holes = [arm("a"), arm("b", keep_prob=0.5), arm("c", keep_prob=0.5, epochs=9)]
    observations = [*observations, *trials("c", [0.5])]
    text = of(said(holes, observations))["Training"]
    assert (
        "The 3 arms differ in keep_prob (1, 0.5); epochs (5, 9), not in all combinations." in text
    )


def test_the_size_of_the_networks_is_said_of_each_that_has_told() -> None:
    """Catches: the first network's parameters as if they were every arm's."""

    def text(arms: Sequence[ArmInfo], **sizes: int) -> str:
        made = [Provenance(name, parameters=size) for name, size in sizes.items()]
        observations = [trial for each in arms for trial in trials(str(each.id), [0.5])]
        return of(said(arms, observations, made=tuple(made)))["Training"]

    one = [arm("a"), arm("b", keep_prob=0.5)]
    assert "The network has 1,234,567 parameters." in text(one, a=1_234_567, b=1_234_567)
    assert "parameters" not in text(one).lower()
    some = "Parameters: 1,234,567 (FCNet on digits)."
    assert some in text(one, a=1_234_567), "what b has nobody knows yet"
    several = [arm("a"), arm("b", keep_prob=0.5), arm("c", model="resnet34", dataset="mnist")]
    assert "Parameters: 9 (FCNet on digits), 21,000,000 (ResNet-34 on MNIST)." in text(
        several, a=9, b=9, c=21_000_000
    )
    points = [arm("a", dataset="surface", model=None), arm("b", dataset="surface", model=None)]
    assert "parameters" not in text(points, a=2, b=2).lower()


def test_how_much_of_the_data_was_used_is_said_whatever_else_differs() -> None:
    """Catches: 500 images that read as all 50,000."""
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    few = {"dataset": "cifar10", "data": {"max_examples": 500}}
    arms = [arm("a", **few), arm("b", **few | {"data": {"max_examples": 500, "cutout": 8}})]
    text = of(said(arms, observations))["Training"]
    assert "on CIFAR-10 (the first 500 examples of each part) for 5 epochs in batches" in text
    assert "differ in cutout (none, 8)." in text
    assert "50,000" not in text
    text = of(said([arm("a"), arm("b", data={"max_examples": 100})], observations))["Training"]
    assert "differ in max examples (all, 100)." in text


def test_what_becomes_of_training_images_is_said() -> None:
    images = {"dataset": "cifar10", "data": {"cutout": 16}}
    arms = [arm("a", **images), arm("b", lr=0.1, **images)]
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    found = of(said(arms, observations))
    assert (
        "Training images of CIFAR-10 are padded by 4 pixels, cropped at random and flipped. "
        "In each training image a square of 16 × 16 pixels is masked. Optimizers"
    ) in found["Training"]
    assert "the order of the data and data augmentation." in found["Seeds"]
    arms = [arm("a", **images), arm("b", dataset="digits")]
    text = of(said(arms, observations))["Training"]
    assert text.count("Training images of") == 1
    assert "blotted" not in text
    voc = {"dataset": "voc_segmentation", "model": "pspnet", "pretrained": True}
    arms = [
        arm(key, keep_prob=p, **voc, data={"crop_size": 65}) for key, p in (("a", 1), ("b", 0.5))
    ]
    text = of(said(arms, observations))["Training"]
    assert "They measure 65 × 65 pixels. The backbone starts from ImageNet weights." in text


@pytest.mark.parametrize(
    ("precision", "devices", "words"),
    [
        ("fp32", H200, "Arithmetic is in FP32."),
        ("tf32", H200, "matrix products and convolutions in TF32."),
        ("tf32", (("x86_64 AVX512", 4, False),), "Arithmetic is in FP32."),
        ("tf32", (), "matrix products and convolutions in TF32."),
        ("bf16", H200, "(autocast); weights and optimizer state are in FP32."),
    ],
)
def test_a_precision_is_that_of_the_device(
    precision: str, devices: tuple[tuple[str, int, bool], ...], words: str
) -> None:
    """Catches: TF32 on a CPU, which has none."""
    text = of_pair([0.5], [0.6], precision=precision, devices=devices)["Training"]
    assert text.endswith(words)


def test_of_another_packages_task_and_optimizer_no_more_is_said_than_is_known() -> None:
    theirs: dict[str, Any] = {"task": "my_task", "dataset": "", "model": ""}
    arms = [arm("a", **theirs), arm("b", **theirs, keep_prob=0.5)]
    for each in arms:
        each.config["optimizer"] |= {"name": "lion", "options": {"decoupled": False}}
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    found = of(said(arms, observations, precision="bf16", made=(Provenance("a", "d" * 64),)))
    assert found["Training"].startswith("A model was trained by the task my_task for 5 epochs")
    assert "lion (learning rate 0.001, decoupled no)." in found["Training"]
    assert "bfloat16" not in found["Training"]
    assert "The seed sets torch's random number generators and LRD's masks." in found["Seeds"]
    assert "begin with the same weights" not in found["Seeds"]
    assert found["Code and data"] == "Data: my_task (SHA-256 dddddddddddd…)."


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"milestones": [], "gamma": 0.1}, "The learning rate is constant."),
        ({"milestones": [100, 150], "gamma": 0.1}, "is multiplied by 0.1 after epochs 100, 150."),
        ({"milestones": [], "gamma": 0.1, "power": 0.9}, "decays as (1 − t) to the power 0.9,"),
    ],
)
def test_the_schedule_is_a_sentence(schedule: dict[str, Any], words: str) -> None:
    arms = [arm("a", schedule=schedule), arm("b", schedule=schedule, keep_prob=0.5)]
    assert words in of(said(arms, [*trials("a", [0.5]), *trials("b", [0.5])]))["Training"]


def test_each_regularizer_is_explained_once_and_its_strengths_with_their_arms() -> None:
    """Catches: one noise of variance 0.01, and two sentences later of 0.1."""
    weak, strong = {"kind": "SD", "keep_prob": 0.9}, {"kind": "SD", "keep_prob": 0.8}
    noise = {"kind": "NG", "eta": 0.1, "gamma": 0.55}
    labels, gradient = {"kind": "NL", "prob": 0.05}, {"kind": "DG", "keep_prob": 0.5}
    loud = {"kind": "NG", "eta": 0.3, "gamma": 0.6}
    lists = ([], [weak], [strong], [weak, noise], [labels, loud], [gradient])
    arms = [arm(str(at), regularizers=some) for at, some in enumerate(lists)]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5])]
    found = of(said(arms, observations))
    assert "differ in regularizers (none; SD(keep_prob=0.9); " in found["Training"]
    for words in (
        "SD is standard dropout: hidden units are kept with probability keep_prob and scaled by "
        "its inverse, where SD's keep_prob is 0.9 in 1, 3; keep_prob is 0.8 in 2.",
        "Gaussian noise is added whose variance is eta divided by (1 + t) to the power gamma, "
        "where NG's eta is 0.1 and gamma is 0.55 in 3; eta is 0.3 and gamma is 0.6 in 4.",
        "with probability 0.05 a training label is replaced by another",
        "each of its elements is kept with probability 0.5",
    ):
        assert found["Training"].count(words) == 1
    assert ", the label noise, the gradient noise and the masks." in found["Seeds"]


def test_a_descent_has_neither_batches_nor_weights() -> None:
    arms = [
        arm(key, dataset="surface", model="point", data={"surface": "saddle"}, keep_prob=p)
        for key, p in (("plain", 1.0), ("lrd", 0.5))
    ]
    found = of(said(arms, [*trials("plain", [0.5]), *trials("lrd", [0.6])]))
    assert found["Training"].startswith(
        "Points descended on the surface saddle for 5 epochs of 100 steps."
    )
    assert "batches" not in found["Training"] + found["Seeds"]
    assert "FP32" not in found["Training"]
    assert (
        "The seed determines the masks. Arms that the seed does not affect: plain."
        in found["Seeds"]
    )
    fixed = [
        arm(key, dataset="surface", model="point", lr=lr) for key, lr in (("a", 0.1), ("b", 1.0))
    ]
    found = of(said(fixed, [*trials("a", [0.5] * 3), *trials("b", [0.6] * 3)]))
    assert "Nothing in them is random: the seed changes nothing." in found["Seeds"]
    marked = [replace(each, is_baseline=each.id == "a") for each in fixed]
    found = of(said(marked, [*trials("a", [0.5] * 3), *trials("b", [0.6] * 3)]))
    assert "Not tested, because no seed changes them or their baseline: b." in found["Tests"]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([0, 1, 2], "Each arm has 3 seeds (0 to 2)."),
        ([4], "Each arm has 1 seed (4)."),
        ([1, 5, 8], "Each arm has 3 seeds (1, 5, 8)."),
        ([7, 8], "Each arm has 2 seeds (7, 8)."),
    ],
)
def test_seeds_are_named(seeds: list[int], words: str) -> None:
    observations = [
        Observation(f"{key}{seed}", key, seed, "succeeded", None, 0.5, 1.0, 5)
        for key in ("plain", "lrd")
        for seed in seeds
    ]
    assert words in of(said(pair(), observations))["Seeds"]


def test_arms_of_different_size_are_not_said_to_be_equal() -> None:
    text = of_pair([0.5, 0.6, 0.7], [0.5, 0.6])["Seeds"]
    assert text.startswith("Arms have 2 to 3 of the seeds 0 to 2. ")


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("last", "is read at the last epoch of each trial; it was not used to choose it."),
        ("epoch:3", "is read at epoch 3 of each trial; it was not used to choose it."),
        ("best", "best epoch, chosen by that same metric, which favours"),
    ],
)
def test_where_the_numbers_were_read(at: str, words: str) -> None:
    assert words in of_pair([0.5, 0.6], [0.6, 0.7], at=at)["Numbers"]


def test_the_tests_are_those_of_the_daggers() -> None:
    text = of_pair([0.5] * 7, [0.6 + seed / 100 for seed in range(7)])["Tests"]
    assert text == (
        "Arms are compared with the baseline (plain) on the same seeds, by the exact two-sided "
        "paired sign-flip test; p < 0.05 is called significant."
    )
    few = of_pair([0.5] * 5, [0.6] * 5)["Tests"]
    assert few.endswith("5 pairs cannot reach that, whatever the data.")
    alone = [arm("plain"), arm("lrd", keep_prob=0.5)]
    assert "Tests" not in of(said(alone, [*trials("plain", [0.5]), *trials("lrd", [0.5])]))


def test_tests_of_effects_are_described_where_there_are_any() -> None:
    arms = [
        arm(f"{p} {lr}", keep_prob=p, lr=lr, baseline=p == 1.0)
        for p in (1.0, 0.5)
        for lr in (0.1, 0.01)
    ]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
    text = of(said(arms, observations))["Tests"]
    assert "Holm-adjusted over 2 main effects and, separately, over 1 interaction." in text


def test_no_trial_without_a_number_is_left_out() -> None:
    """Catches: a failure that a methods section does not tell of."""
    found = of_pair([0.5, "diverged", 0.6, "oom"], [0.5, 0.4, "running", 0.7], repeated=2)
    assert found["Trials"] == (
        "Of 8 trials, 5 gave a number; none of these is left out. Diverged: plain: seed 1. "
        "Failed (oom): plain: seed 3. Running: lrd: seed 2. 2 trials took more than one attempt."
    )
    assert found["Draft"].startswith("7 of 8 trials have ended; the sweep has not, and")
    assert "A seed that diverged in either arm forms no pair;" in found["Tests"]
    found = of_pair([0.5, 0.6], [0.5, 0.6])
    assert found["Trials"] == "All 4 trials succeeded; none is left out."
    assert "Draft" not in found
    none = of_pair(["queued"], ["queued"])
    assert "Of 2 trials, none has given a number." in none["Trials"]


def test_that_it_was_extended_is_told() -> None:
    """Catches: seeds that were added after a look, as if they had been planned."""
    text = of_pair([0.5], [0.6], extended=("extended by 3 trials", "extended by 1 trial"))["Seeds"]
    assert text.endswith("the sweep was extended by 3 trials, extended by 1 trial.")


@pytest.mark.parametrize(
    ("seconds", "gpus", "words"),
    [
        (10.0, 0.0, "is 20 CPU-seconds, failed trials included."),
        (0.5, 0.0, "is 1 CPU-second,"),
        (1800.0, 0.0, "is 1 CPU-hour,"),
        (90.0, 0.5, "is 1.5 GPU-minutes and 3 CPU-minutes,"),
        (7.2e6, 1.0, "is 4,000 GPU-hours and 4,000 CPU-hours,"),
    ],
)
def test_the_cost_is_that_of_all_trials(seconds: float, gpus: float, words: str) -> None:
    """Catches: the cost of those alone that succeeded."""
    some = [
        *trials("plain", ["oom"], seconds=seconds, gpus=gpus),
        *trials("lrd", [0.5], seconds=seconds, gpus=gpus),
    ]
    found = of(said(pair(), some, repeated=1))
    assert words in found["Cost"]
    assert "Work that was lost and repeated is not counted." in found["Cost"]
    assert "failed" not in of_pair([0.5], [0.5])["Cost"]


def test_devices_code_and_data_are_named_and_what_was_reused() -> None:
    made = (
        *MADE,
        Provenance("lrd", "d" * 64, "0.1.0+ab12", None, "my-lab 1.0 aa", "2.15.0", "NVIDIA H200"),
        Provenance("lrd", "d" * 64, "0.1.0+ab12", None, "my-lab 1.0 aa", "2.16.0", "x86_64 AVX2"),
    )
    devices = (*H200, ("x86_64 AVX2", 1, False))
    found = of_pair([0.5] * 3, [0.5] * 3, made=made, devices=devices, reused=2)
    assert "2 trials reuse the results of an earlier sweep with the same code" in found["Cost"]
    assert found["Cost"].endswith("Trained on NVIDIA H200 (3 trials); x86_64 AVX2 (1 trial).")
    assert found["Code and data"].startswith(
        "Code: lrd 0.1.0+ab12, torch 2.15.0, torch 2.16.0, my-lab 1.0 aa. "
        "Data: digits (SHA-256 dddddddddddd…). The trials ran different code: torch 2.15.0 and "
    )
    assert "different devices: NVIDIA H200 and x86_64 AVX2;" in found["Code and data"]
    nothing = of_pair(["queued"], ["queued"], made=(), devices=())
    assert "Code and data" not in nothing


def test_long_lists_are_counted() -> None:
    arms = [arm(f"arm {at}", lr=at / 100) for at in range(1, 41)]
    observations = [trial for each in arms for trial in trials(str(each.id), ["oom"])]
    found = of(said(arms, observations))
    assert "0.11, 0.12 and 28 more)" in found["Training"]
    assert "Adam (learning rate 0.12) and 28 more." in found["Training"]
    assert "arm 12: seed 0 and 28 more." in found["Trials"]


@pytest.mark.parametrize("label", ["a_b$", r"\input{x}", "<b>", "|", "%", "*x*"])
def test_a_label_is_text_in_each_form(label: str) -> None:
    arms = [arm("plain", label, baseline=True), arm("lrd", "lrd", keep_prob=0.5)]
    found = said(arms, [*trials("plain", [0.5]), *trials("lrd", ["oom"])])
    source = methods.latex(found, {"sweep": "a_b {"})
    assert source.startswith("% sweep: a_b {\n\\paragraph{Training.} FCNet was")
    latex.check(source.replace(r"\paragraph", r"\emph"))
    assert len(source.splitlines()) == 1 + len(found.paragraphs)
    text = methods.markdown(found)
    assert text.startswith("**Training.** FCNet was trained on digits")
    assert text.count("\n\n") == len(found.paragraphs) - 1
    assert f"({label})" in of(found)["Tests"]
    if label in ("|", "*x*"):
        assert f"({label})" not in text


def test_json_is_json() -> None:
    found = said(pair(), [*trials("plain", [0.5]), *trials("lrd", [0.6])], at="best")
    made = methods.to_json(found)
    assert json.loads(json.dumps(made)) == made
    assert (made["metric"], made["at"]) == ("test_accuracy", "best")
    assert [item["title"] for item in made["items"]] == [
        "Training", "Seeds", "Numbers", "Tests", "Trials", "Cost", "Code and data",
    ]  # fmt: skip
