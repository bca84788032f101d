"""How a trial is run: what it occupies, how it is computed, what is kept of it. None of it is part
of an arm, and none needs torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lrd_core.configuration import Spec
from lrd_core.texts import Text


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"more than one GPU is a whole number of them, got {gpus:g}")
    return gpus


_NAME = r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_PART = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
LabelName = Annotated[str, Field(max_length=253, pattern=rf"^({_PART}(\.{_PART})*/)?{_NAME}$")]
LabelValue = Annotated[str, Field(pattern=rf"^{_NAME}$")]
"""Of Ray's node labels, which are written as those of Kubernetes are."""


class Resources(Spec):
    """What a trial occupies while it runs, and of which nodes."""

    num_cpus: Annotated[float, Field(gt=0, le=1024)] = 1
    """CPUs; a trial has as many of torch's threads, at least one."""
    num_gpus: (
        Literal["auto", "shared"]
        | Annotated[float, Field(ge=0, le=64), AfterValidator(_whole_above_one)]
    ) = "auto"
    """`auto`: one GPU where the cluster has any, else none; once a trial of the sweep has used one,
    the others wait for one. A share such as 0.25 is allowed; above 1 it is a whole number, and of a
    task of another package. `shared`: as `auto` until the sweep's first trials have measured what
    memory they use, then the part of a GPU that they need."""
    memory_gib: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Of the node's own memory, in GiB; so much is counted, and none is kept from using more."""
    accelerator_type: Annotated[Text, Field(min_length=1, max_length=100)] | None = None
    """Only nodes with this accelerator, in Ray's word for it, e.g. `H100`."""
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=20)] | None = None
    """Only nodes with all of these Ray labels, e.g. `{zone: a}`."""
    timeout_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """An attempt that runs longer, in seconds, is stopped, and the trial fails with the reason
    `timeout`."""


class Execution(Spec):
    """How a trial is computed; recorded with it, but no part of an arm."""

    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Of the network's arithmetic; `tf32` and `bf16` change the numbers, and are five to eight
    times as fast on a recent GPU."""
    channels_last: Literal["auto", "on", "off"] = "auto"
    """Whether images lie channels-last in memory, for the convolutions of classification and
    segmentation; `auto` is `on`, but for classification in fp32 on a GPU, which is slower so, and
    for another package's network, which may rely on how its images lie."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether learning-rate dropout runs in kernels of its own, and whether a GPU gets the steps of
    classification as CUDA graphs: `auto` makes a graph in trials of 100 steps or more. Graphs
    change no bit; kernels round otherwise than `off`."""
    keep_weights: bool = False
    """Whether the final weights of each trial that succeeds stay in its folder, for `lrd weights`:
    85 MB a trial of ResNet-34."""
