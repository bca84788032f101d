"""What the REST API takes and gives, for its OpenAPI document.

The answers are made by `views` and by the analysis; that they are as said here is tested by asking.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lrd_core.configuration import Text
from lrd_core.spec import SweepSpec
from service.lifecycle import SweepState, TrialState

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no word for the last three; these are those of protobuf's JSON mapping."""
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
T = TypeVar("T")


class Answer(BaseModel):
    """No field is left out, and none is there that is not named."""

    model_config = ConfigDict(extra="forbid")


class Page(Answer, Generic[T]):
    """A part of a list; the rest is asked for with `page_token`."""

    items: list[T]
    next_page_token: str | None = Field(description="null: this is the last page")


# --- what is sent ---------------------------------------------------------------------------------


class FromPreset(BaseModel):
    """A preset with changes, in place of a sweep."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"preset": "table-2", "set": {"base.epochs": 2}, "seeds": 1}]
        },
    )

    preset: Text
    set: dict[Text, Any] = Field({}, description="dotted path -> value")
    seeds: Any = Field(None, description="as in a sweep; null leaves those of the preset")


class Changes(BaseModel):
    """What may change while a sweep runs."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"priority": 10}]}
    )

    priority: int = Field(0, ge=-1000, le=1000)
    max_concurrent: int | None = Field(None, ge=1, le=1_000_000)


def _plain_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with https:// or http:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user and no password may stand in the address")
    if any(not char.isascii() or char.isspace() or not char.isprintable() for char in text):
        raise ValueError("an address has ASCII letters and signs alone, and no blank")
    assert parts.port is None or parts.port > 0, "the port is 1 to 65535"
    return text


class WebhookRequest(BaseModel):
    """An address to be told when a sweep has ended."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"url": "https://example.com/lrd"}]},
    )

    url: Annotated[str, Field(min_length=8, max_length=2000), AfterValidator(_plain_url)]


class Clone(SweepSpec):
    """Parts of a sweep that are to be others in the clone; all may be left out."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(required=[], examples=[{"seeds": 5}])
    )


# --- errors ---------------------------------------------------------------------------------------


class Fault(Answer):
    """One wrong place."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into what was sent")
    detail: str


class Problem(Answer):
    """RFC 9457."""

    type: str = Field(description="a kind of error, explained at this address")
    title: str
    status: int
    detail: str
    errors: list[Fault]


# --- sweeps ---------------------------------------------------------------------------------------


class Counts(Answer):
    """How many trials are in each state."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class Sweep(Answer):
    """A sweep."""

    id: str
    name: str
    state: SweepState
    trials_total: int
    trials: Counts
    spec: dict[str, Any]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    paused_at: Time | None
    cancel_requested_at: Time | None
    priority: int
    max_concurrent: int | None
    waiting_for: str | None = Field(description="why no trial of it can start")
    code_version: str
    owner: str | None = Field(description="name of the token that submitted it")
    gpu_share: float | None = Field(
        description="the part of a GPU whose memory a trial needs, as measured; null before"
    )


class SweepPage(Page[Sweep]):
    """Sweeps, newest first."""


class PlannedArm(Answer):
    """An arm of a plan."""

    label: str
    is_baseline: bool


class PlannedTime(Answer):
    """How long it would take, from what has run here before."""

    trials: int
    exact: int = Field(description="trials whose like has run here")
    alike: int = Field(description="trials that are estimated from others of their kind")
    unknown: int
    trial_seconds: float | None
    wall_seconds: float | None
    slots: int = Field(description="trials at a time")


class PlannedSeeds(Answer):
    """What this many seeds can show."""

    seeds: int
    comparisons: int
    alpha: float
    smallest_p: float
    smallest_p_holm: float
    seeds_needed_alone: int
    seeds_needed: int
    detectable_effect: float | None
    detectable_effect_holm: float | None
    can_reject: bool
    sentence: str


class SweepPlan(Answer):
    """What a sweep would be."""

    name: str
    arms_total: int
    trials_total: int
    arms: list[PlannedArm]
    comparisons: int
    present_elsewhere: int
    reuse: bool
    time: PlannedTime
    seeds: PlannedSeeds


# --- trials ---------------------------------------------------------------------------------------


class Trial(Answer):
    """One training run."""

    id: int
    sweep_id: str
    arm_id: int
    label: str
    seed: int
    state: TrialState
    reason: str | None
    message: str | None
    attempt: int
    epochs: int
    epochs_done: int
    last_report: dict[str, Number] | None
    seconds: float
    config: dict[str, Any]
    losses: int
    not_before: Time | None
    cpus: float
    gpus: float
    alone: bool = Field(description="it ran out of memory, and has a node to itself when it runs")
    weights_sha256: str | None
    reused_from: int | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    cancel_requested_at: Time | None


class TrialPage(Page[Trial]):
    """Trials in order."""


class Provenance(Answer):
    """All that a trial's numbers depend on."""

    code_version: str
    config_sha256: str
    seed: int
    reused_from: int | None
    weights_sha256: str | None
    environment: dict[str, Any] | None


class TrialDetail(Trial):
    """A trial with its provenance."""

    provenance: Provenance


class Report(BaseModel):
    """One epoch; beside these its metrics, each a number."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    epoch: int
    lr: float
    seconds: float
    attempt: int
    recorded_at: Time


class ReportPage(Page[Report]):
    """Epochs in order."""


class Attempt(Answer):
    """One try at a trial."""

    attempt: int
    dispatcher_id: str
    started_at: Time
    ended_at: Time | None
    outcome: str | None
    message: str | None
    environment: dict[str, Any] | None


class AttemptPage(Page[Attempt]):
    """Tries in order."""


class Event(Answer):
    """Something that happened."""

    id: int
    sweep_id: str
    trial_id: int | None
    attempt: int | None
    at: Time
    kind: str
    from_state: str | None
    to_state: str | None
    reason: str | None
    message: str | None


class EventPage(Page[Event]):
    """Events in order."""


# --- results --------------------------------------------------------------------------------------


class Statistics(Answer):
    """A metric over the seeds of an arm."""

    n: int
    mean: Number | None
    std: Number | None
    standard_error: Number | None
    ci_low: Number | None
    ci_high: Number | None
    median: Number | None
    iqm: Number | None
    min: Number | None
    max: Number | None
    epoch: float | None


class Arm(Answer):
    """A configuration, what became of its seeds, and their statistics."""

    id: int
    label: str
    config: dict[str, Any]
    is_baseline: bool
    n: int
    planned: int
    failed: int
    diverged: int
    status: str
    missing: dict[str, Any]
    metrics: dict[str, Statistics]
    seconds: float
    gpu_seconds: float
    cpu_seconds: float


class ArmPage(Page[Arm]):
    """Arms in order."""


class Comparison(Answer):
    """An arm against its baseline, paired by seed."""

    arm_id: int
    arm: str
    baseline_id: int
    baseline: str
    differs_in: list[str]
    metric: str
    higher_is_better: bool | None
    n: int
    left_out: dict[str, list[int]]
    wins: int
    ties: int
    losses: int
    diverged: int
    baseline_diverged: int
    difference: Number | None
    ci_low: Number | None
    ci_high: Number | None
    t_low: Number | None
    t_high: Number | None
    std: Number | None
    p_sign_flip: float | None
    flips: int | None
    p_holm: float | None
    p_t: Number | None
    p_welch: Number | None
    d_z: Number | None
    g_z: Number | None
    correlation: Number | None
    better: bool | None
    significant: bool
    survivors_only: bool


class Comparisons(Page[Comparison]):
    """Each arm against its baseline."""

    metric: str
    at: str


class Difference(Answer):
    """A cell against its baseline."""

    baseline_id: int
    n: int
    difference: Number | None
    ci_low: Number | None
    ci_high: Number | None
    t_low: Number | None
    t_high: Number | None
    p_sign_flip: float | None
    p_holm: float | None


class Cell(Answer):
    """A cell of the table, as text and as numbers."""

    text: str
    best: bool
    significant: bool
    arm_id: int
    label: str
    planned: int
    n: int
    failed: int
    diverged: int
    mean: Number | None
    std: Number | None
    ci_low: Number | None
    ci_high: Number | None
    status: str
    comparison: Difference | None


class Row(Answer):
    """A row of the table."""

    titles: list[str]
    cells: list[Cell | None]


class Layout(Answer):
    """Which paths stand where."""

    rows: list[str]
    columns: list[str]
    pair: str | None


class Table(Answer):
    """The table of one metric."""

    caption: str
    metric: str
    at: str
    unit: str
    higher_is_better: bool | None
    layout: Layout
    heads: list[str]
    columns: list[list[str]]
    rows: list[Row]
    notes: list[str]
    expected: list[dict[str, Any]]
    source: str
    metrics: list[str]


class Curve(Answer):
    """An arm's mean, epoch by epoch."""

    arm_id: int
    label: str
    trials: int
    epochs: list[int]
    x: list[Number | None]
    mean: list[Number | None]
    std: list[Number | None]
    n: list[int]
    thinned_from: int | None


class Curves(Page[Curve]):
    """The curves of one metric."""

    metric: str
    by: Literal["epoch", "seconds"]


class Reach(Answer):
    """How soon an arm's trials reach a value."""

    arm_id: int
    label: str
    trials: int
    reached: int
    never: list[int]
    undecided: list[int]
    epochs: Number | None
    seconds: Number | None


class Speed(Answer):
    """That, against the baseline."""

    arm_id: int
    arm: str
    baseline_id: int
    baseline: str
    n: int
    faster: int
    ties: int
    slower: int
    epoch_ratio: Number | None
    second_ratio: Number | None


class SpeedAnswer(Page[Reach]):
    """How soon a metric reaches a value."""

    metric: str
    threshold: Number
    comparisons: list[Speed]


class Plot(Answer):
    """A figure for Plotly."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]


# --- presets and the cluster ----------------------------------------------------------------------


class Preset(Answer):
    """A sweep that is ready to be submitted."""

    name: str
    description: str
    title: str
    trials_total: int


class PresetPage(Page[Preset]):
    """All presets."""


class PresetDetail(Preset):
    """A preset with its spec, and its file as it was written."""

    spec: dict[str, Any]
    text: str


class Leader(Answer):
    """The dispatcher that leads."""

    id: str
    host: str
    pid: int
    term: int
    leads_since: Time


class InUse(Answer):
    """Of CPUs or GPUs."""

    total: float
    held: float


class RunningTrial(Answer):
    """A trial that runs now, and where."""

    trial_id: int
    sweep_id: str
    sweep: str
    label: str
    seed: int
    attempt: int
    epochs: int
    epochs_done: int
    cpus: float
    gpus: float
    alone: bool
    node: str | None
    device: str | None
    since: Time


class WaitingSweep(Answer):
    """A sweep with queued trials, and what they wait for."""

    sweep_id: str
    name: str
    queued: int
    running: int
    priority: int
    max_concurrent: int | None
    why: str


class Node(Answer):
    """A machine of the cluster: what it has, free or not."""

    id: str
    cpus: float
    gpus: float
    memory_gib: float = Field(description="what Ray gives out of it")
    accelerator_type: str | None
    labels: dict[str, str]


class Cluster(Answer):
    """Who dispatches, what there is, what runs and what waits."""

    dispatcher: Leader | None
    nodes: list[Node]
    cpus: InUse
    gpus: InUse
    trials_running: int
    running: list[RunningTrial]
    waiting: list[WaitingSweep]


# --- webhooks and the audit log -------------------------------------------------------------------


class Webhook(Answer):
    """An address that is told when a sweep has ended."""

    id: int
    url: str
    created_at: Time


class NewWebhook(Webhook):
    """A webhook, and what signs its messages: shown this once."""

    secret: str


class WebhookPage(Page[Webhook]):
    """All webhooks."""


class Delivery(Answer):
    """A message to a webhook, and what became of it."""

    id: int
    sweep_id: str
    event: str
    created_at: Time
    tries: int
    next_at: Time | None = Field(description="null: it has arrived, or was given up")
    delivered_at: Time | None
    error: str | None


class DeliveryPage(Page[Delivery]):
    """Messages, the newest first."""


class AuditEntry(Answer):
    """Who changed what."""

    id: int
    at: Time
    name: str
    token_id: int | None
    address: str | None
    action: str
    target: str


class AuditPage(Page[AuditEntry]):
    """Changes, the newest first."""
