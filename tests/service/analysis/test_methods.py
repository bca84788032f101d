"""What a paper says of how its numbers were made: all of it recorded, nothing left out."""

import json
from collections.abc import Sequence

import pytest

from lrd_core.titles import KEEP_PROB
from service.analysis import methods
from service.analysis.arms import summarise
from service.analysis.comparisons import compare
from service.analysis.data import ArmInfo, Observation
from service.analysis.methods import Methods, Ran
from service.analysis.mixtures import Made

from . import latex
from .cases import Value, arm, pair, trials

MADE = (Made("plain", "d" * 64, "0.1.0+ab12", torch="2.15.0", device="NVIDIA H200", trials=3),)


def said(
    arms: Sequence[ArmInfo],
    observations: Sequence[Observation],
    *,
    at: str = "last",
    precision: str = "fp32",
    reused: int = 0,
    made: tuple[Made, ...] = MADE,
) -> Methods:
    seeds = tuple(sorted({each.seed for each in observations}))
    summaries = summarise(arms, observations)
    marked = any(each.is_baseline for each in arms)
    return methods.describe(
        summaries,
        compare(summaries, observations, baseline=[KEEP_PROB]) if marked else [],
        Ran(seeds, precision, reused, made),
        metric="test_accuracy",
        at=at,
        baseline=[KEEP_PROB],
    )


def of(found: Methods) -> dict[str, str]:
    return {each.title: each.text for each in found.paragraphs}


def of_pair(plain: Sequence[Value], lrd: Sequence[Value], **more: object) -> dict[str, str]:
    both = [*trials("plain", plain), *trials("lrd", lrd)]
    return of(said(pair(), both, **more))  # type: ignore[arg-type]


def test_what_all_arms_have_is_said_once_and_in_what_they_differ_beside_it() -> None:
    arms = [
        arm(f"{name} {keep_prob}", name=name, lr=lr, keep_prob=keep_prob, epochs=30)
        for name, lr in (("sgdm", 0.1), ("adam", 0.001))
        for keep_prob in (1.0, 0.5)
    ]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5, 0.6])]
    text = of(said(arms, observations, precision="bf16"))["Training"]
    assert text.startswith("FCNet was trained on digits for 30 epochs in batches of 128, in BF16. ")
    assert "The 4 arms differ in optimizer (SGDM, Adam); keep_prob (1, 0.5). " in text
    assert "Optimizers: SGDM (learning rate 0.1); Adam (learning rate 0.001)." in text
    assert "each element of the weights keeps its learning rate with probability keep_prob" in text


def test_what_differs_is_not_said_of_all() -> None:
    """Catches: the first arm's epochs, model or data set, said of every arm."""
    arms = [
        arm("a", dataset="mnist", epochs=3, batch_size=32, data={"max_examples": 400}),
        arm("b", dataset="mnist", epochs=5, batch_size=64, model="resnet34"),
    ]
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    text = of(said(arms, observations))["Training"]
    assert text.startswith("A model was trained on MNIST, in FP32. The 2 arms differ in model (")
    assert "400" not in text.partition(". ")[0]
    assert "learning-rate dropout" not in text  # of arms without it
    same = [arm("a", data={"max_examples": 400}), arm("b", lr=0.1, data={"max_examples": 400})]
    text = of(said(same, observations))["Training"]
    assert "on digits (the first 400 examples of each part) for 5 epochs in batches" in text


def test_what_becomes_of_training_images_is_said() -> None:
    images = {"dataset": "cifar10", "data": {"cutout": 16}}
    arms = [arm("a", **images), arm("b", lr=0.1, **images)]
    observations = [*trials("a", [0.5]), *trials("b", [0.5])]
    text = of(said(arms, observations))["Training"]
    assert (
        "Training images of CIFAR-10 are padded by 4 pixels, cropped at random and flipped. "
        "A square of 16 pixels is blotted out of each. Optimizers"
    ) in text
    arms = [arm("a", **images), arm("b", dataset="digits")]
    text = of(said(arms, observations))["Training"]
    assert text.count("Training images of") == 1
    assert "blotted" not in text
    voc = {"dataset": "voc_segmentation", "model": "pspnet", "pretrained": True}
    arms = [
        arm(key, keep_prob=p, **voc, data={"crop_size": 65}) for key, p in (("a", 1), ("b", 0.5))
    ]
    text = of(said(arms, observations))["Training"]
    assert "They are squares of 65 pixels. The backbone begins with ImageNet weights." in text


def test_each_regularizer_is_explained_once_in_each_strength() -> None:
    weak, strong = {"kind": "SD", "keep_prob": 0.9}, {"kind": "SD", "keep_prob": 0.8}
    noise = {"kind": "NG", "eta": 0.1, "gamma": 0.55}
    labels, gradient = {"kind": "NL", "prob": 0.05}, {"kind": "DG", "keep_prob": 0.5}
    lists = ([], [weak], [strong], [weak, noise], [labels], [gradient])
    arms = [arm(str(at), regularizers=some) for at, some in enumerate(lists)]
    observations = [trial for each in arms for trial in trials(str(each.id), [0.5])]
    found = of(said(arms, observations))
    assert "differ in regularizers (none, SD(keep_prob=0.9), " in found["Training"]
    for words in (
        "SD is standard dropout: hidden units are kept with probability 0.9 and scaled",
        "SD is standard dropout: hidden units are kept with probability 0.8 and scaled",
        "Gaussian noise of variance 0.1 / (1 + t)^0.55 is added",
        "with probability 0.05 a training label is another one",
        "its elements are kept with probability 0.5",
    ):
        assert found["Training"].count(words) == 1
    assert ", noisy labels, the noise of gradients and all masks;" in found["Seeds"]


def test_a_descent_has_neither_batches_nor_weights() -> None:
    arms = [
        arm(key, dataset="surface", model="point", data={"surface": "saddle"}, keep_prob=p)
        for key, p in (("plain", 1.0), ("lrd", 0.5))
    ]
    found = of(said(arms, [*trials("plain", [0.5]), *trials("lrd", [0.6])]))
    assert found["Training"].startswith(
        "Points descended on the surface saddle for 5 epochs of 100 steps, in FP32."
    )
    assert "batches" not in found["Training"] + found["Seeds"]
    assert "A seed decides all masks;" in found["Seeds"]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([0, 1, 2], "with 3 seeds (0 to 2)"),
        ([4], "with 1 seed (4)"),
        ([1, 5, 8], "with 3 seeds (1, 5, 8)"),
        ([7, 8], "with 2 seeds (7, 8)"),
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
        ("last", "is read at the last epoch of each trial; no epoch was chosen by it."),
        ("epoch:3", "is read at epoch 3 of each trial; no epoch was chosen by it."),
        ("best", "best epoch, chosen by the test accuracy itself: it flatters whatever fluctuates"),
    ],
)
def test_where_the_numbers_were_read(at: str, words: str) -> None:
    assert words in of_pair([0.5, 0.6], [0.6, 0.7], at=at)["Numbers"]


def test_the_tests_are_those_of_the_daggers() -> None:
    text = of_pair([0.5] * 7, [0.6 + seed / 100 for seed in range(7)])["Tests"]
    assert text == (
        "Arms are compared with the baseline (plain) on equal seeds, by the exact two-sided paired "
        "sign-flip test; p < 0.05 is called significant."
    )
    few = of_pair([0.5] * 5, [0.6] * 5)["Tests"]
    assert few.endswith("5 pairs cannot reach that, whatever the data.")
    alone = [arm("plain"), arm("lrd", keep_prob=0.5)]
    assert "Tests" not in of(said(alone, [*trials("plain", [0.5]), *trials("lrd", [0.5])]))


def test_no_trial_without_a_number_is_left_out() -> None:
    """Catches: a failure that a methods section does not tell of."""
    text = of_pair([0.5, "diverged", 0.6, "oom"], [0.5, "diverged", "running", 0.7])["Trials"]
    assert text == (
        "The sweep has not ended. Of 8 trials 4 gave a number, and each of these is in the table. "
        "Diverged: plain: seed 1; lrd: seed 1. Failed (oom): plain: seed 3. Running: lrd: seed 2. "
        "A trial that diverged is in no mean; it loses against each that did not."
    )
    assert of_pair([0.5, 0.6], [0.5, 0.6])["Trials"].startswith("All 4 trials succeeded")
    none = of_pair(["queued"], ["queued"])
    assert "Of 2 trials none has given a number." in none["Trials"]


@pytest.mark.parametrize(
    ("seconds", "gpus", "words"),
    [
        (10.0, 0.0, "took 20 CPU-seconds in all"),
        (0.5, 0.0, "took 1 CPU-second in all"),
        (1800.0, 0.0, "took 1 CPU-hour in all"),
        (90.0, 0.5, "took 1.5 GPU-minutes and 3 CPU-minutes in all"),
        (7.2e6, 1.0, "took 4,000 GPU-hours and 4,000 CPU-hours in all"),
    ],
)
def test_the_cost_is_that_of_all_trials(seconds: float, gpus: float, words: str) -> None:
    """Catches: the cost of those alone that succeeded."""
    some = [
        *trials("plain", ["oom"], seconds=seconds, gpus=gpus),
        *trials("lrd", [0.5], seconds=seconds, gpus=gpus),
    ]
    assert words in of(said(pair(), some))["Cost"]


def test_devices_code_and_data_are_named_and_what_was_reused() -> None:
    made = (
        *MADE,
        Made("lrd", "d" * 64, "0.1.0+ab12", None, "my-lab 1.0 aa", "2.15.0", "NVIDIA H200", 2),
        Made("lrd", "d" * 64, "0.1.0+ab12", None, "my-lab 1.0 aa", "2.16.0", "x86_64 AVX2", 1),
    )
    found = of_pair([0.5] * 3, [0.5] * 3, made=made, reused=2)
    assert "2 trials took over the results of an earlier sweep of the same code" in found["Cost"]
    assert found["Cost"].endswith("Trained on NVIDIA H200 (5 trials), x86_64 AVX2 (1 trial).")
    assert found["Code and data"].startswith(
        "Code: lrd 0.1.0+ab12, torch 2.15.0, torch 2.16.0, my-lab 1.0 aa. "
        "Data: digits (SHA-256 dddddddddddd…). Its trials ran different code: torch 2.15.0 and "
    )
    assert "different devices: NVIDIA H200 and x86_64 AVX2;" in found["Code and data"]
    nothing = of_pair(["queued"], ["queued"], made=())
    assert "Code and data" not in nothing


def test_long_lists_are_counted() -> None:
    arms = [arm(f"arm {at}", lr=at / 100) for at in range(1, 41)]
    observations = [trial for each in arms for trial in trials(str(each.id), ["oom"])]
    found = of(said(arms, observations))
    assert "0.11, 0.12 and 28 more)" in found["Training"]
    assert "Adam (learning rate 0.12) and 28 more." in found["Training"]
    assert found["Trials"].endswith("arm 12: seed 0 and 28 more.")


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
