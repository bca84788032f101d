"""How a trial is run: the resources it occupies, how it is computed, what is kept. None of this is
part of an arm. Free of torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lrd_core.configuration import Spec
from lrd_core.texts import Text

LEAST_SHARE = 0.05
"""The smallest part of a CPU or a GPU: each trial is a process, and 20 per core are enough."""


def _allowed_gpus(gpus: float) -> float:
    if 0 < gpus < LEAST_SHARE:
        raise ValueError(f"a share of a GPU is at least {LEAST_SHARE:g}, got {gpus:g}")
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"more than one GPU must be a whole number, got {gpus:g}")
    return gpus


_NAME = r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_PART = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
LabelName = Annotated[str, Field(max_length=253, pattern=rf"^({_PART}(\.{_PART})*/)?{_NAME}$")]
LabelValue = Annotated[str, Field(pattern=rf"^{_NAME}$")]
"""Ray's node labels, which have the syntax of Kubernetes labels."""


class Resources(Spec):
    """What a trial occupies while it runs, and on which nodes."""

    num_cpus: Annotated[float, Field(ge=LEAST_SHARE, le=1024)] = 1
    """CPUs; also the number of torch's threads, at least one."""
    num_gpus: (
        Literal["auto", "shared"]
        | Annotated[float, Field(ge=0, le=64), AfterValidator(_allowed_gpus)]
    ) = "auto"
    """`auto`: one GPU if the cluster has any, otherwise none; once a trial of the sweep has used
    one, the others wait for one. A share such as 0.25 is allowed. More than one must be a whole
    number, and only a plugin's task may ask for it. `shared`: as `auto` until the sweep's first
    trials have measured how much memory they use, then only the share of a GPU that they need."""
    memory_gib: Annotated[float, Field(ge=0.001, le=1_000_000)] | None = None
    """Node memory in GiB. The scheduler counts this much; it is not enforced."""
    accelerator_type: Annotated[Text, Field(min_length=1, max_length=100)] | None = None
    """Only nodes with this accelerator, by Ray's name for it, e.g. `H100`."""
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=20)] | None = None
    """Only nodes with all of these Ray labels, e.g. `{zone: a}`."""
    timeout_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """An attempt that runs longer than this, in seconds, is stopped, and the trial fails with the
    reason `timeout`."""


class Execution(Spec):
    """How a trial is computed; recorded with it, but not part of an arm."""

    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Precision of the network's arithmetic; `tf32` and `bf16` change the numbers, and are five to
    eight times as fast on a recent GPU."""
    channels_last: Literal["auto", "on", "off"] = "auto"
    """Whether convolutions of classification and segmentation get images channels-last in memory.
    `auto` is `on`, except for fp32 classification on a GPU (slower there) and for plugin networks,
    which may rely on their layout."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether learning-rate dropout runs in its own kernels, and classification steps on a GPU as
    CUDA graphs; `auto` makes a graph in trials of 100 steps or more. Graphs change no bit; kernels
    round differently from `off`."""
    keep_weights: bool = False
    """Whether each trial that succeeds keeps its final weights in its folder, for `lrd weights`:
    85 MB per trial of ResNet-34."""
