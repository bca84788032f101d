"""Sweeps with their plans, trials with their reports, attempts and events."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.parts import Answer, Number, Page, Time
from service.lifecycle import SweepState, TrialState


class Counts(Answer):
    """How many trials are in each state."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class SweepSummary(Answer):
    """A sweep without its spec, which may be a megabyte."""

    id: str
    name: str
    tags: list[str]
    state: SweepState
    trials_total: int
    trials: Counts
    created_at: Time
    started_at: Time | None
    paced_from: Time | None
    """When its first trial started since it was submitted, resumed, extended or retried."""
    finished_before: int
    """Trials that had ended by then: the others show how fast it goes."""
    finished_at: Time | None
    paused_at: Time | None
    paused_because: str | None = Field(description="why, if no person paused it")
    cancel_requested_at: Time | None
    priority: int
    max_concurrent: int | None
    max_failures: int | None
    waiting_for: str | None = Field(description="why none of its trials can start")
    code_version: str
    owner: str | None = Field(description="name of the token that submitted it")
    gpu_share: float | None = Field(
        description="share of a GPU whose memory a trial needs; null until it has been measured"
    )


class Sweep(SweepSummary):
    """A sweep."""

    notes: str
    spec: dict[str, Any]


class SweepPage(Page[SweepSummary]):
    """Sweeps, newest first."""


class SweepRefusals(Answer):
    """Why each change of a sweep would be refused, or would change nothing; null if neither."""

    cancel: str | None
    pause: str | None
    resume: str | None
    retry: str | None = Field(description="with `cancelled=true`")
    extend: str | None
    change: str | None
    delete: str | None
    clone: str | None


class PlannedArm(Answer):
    """An arm of a plan."""

    label: str
    is_baseline: bool


class PlannedTime(Answer):
    """How long it would take, estimated from earlier trials."""

    trials: int
    exact: int = Field(description="trials whose configuration has run before")
    alike: int = Field(description="trials estimated from similar ones")
    unknown: int
    trial_seconds: float | None
    wall_seconds: float | None
    slots: int = Field(description="trials that run at once")


class PlannedSeeds(Answer):
    """What this many seeds can show."""

    seeds: int
    comparisons: int
    alpha: float
    smallest_p: float
    smallest_p_holm: float
    seeds_needed_alone: int | None
    seeds_needed: int | None
    detectable_effect: float | None
    detectable_effect_holm: float | None
    seeded: bool = Field(description="whether a seed changes anything in the arms compared")
    can_reject: bool
    sentence: str


class SweepPlan(Answer):
    """A sweep's plan: what submitting it would run."""

    name: str
    arms_total: int
    trials_total: int
    trials_added: int = Field(
        description="for an extension, those that the sweep lacks; otherwise all"
    )
    arms: list[PlannedArm]
    comparisons: int
    present_elsewhere: int
    reuse: bool
    advice: list[str] = Field(
        description="arms that would compute the same, and milestones that are never reached"
    )
    waiting_for: str | None
    """Why none of its trials could start on the cluster as last seen; null if they could, or if no
    dispatcher has seen a cluster."""
    time: PlannedTime
    seeds: PlannedSeeds


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
    alone: bool = Field(
        description="it ran out of memory, so it gets a node to itself when it runs"
    )
    weights_sha256: str | None
    reused_from: int | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    cancel_requested_at: Time | None


class TrialPage(Page[Trial]):
    """Trials in order."""


class TrialRefusals(Answer):
    """Why each change of a trial would be refused, or would change nothing; null if neither."""

    cancel: str | None
    retry: str | None


class Provenance(Answer):
    """Everything that a trial's numbers depend on."""

    code_version: str
    config_sha256: str
    seed: int
    execution: dict[str, Any]
    reused_from: int | None
    weights_sha256: str | None
    environment: dict[str, Any] | None


class TrialDetail(Trial):
    """A trial with its provenance."""

    sweep: str = Field(description="the sweep's name")
    has_weights: bool = Field(
        description="whether `/trials/{trial_id}/weights` has its final weights"
    )
    provenance: Provenance


class Report(BaseModel):
    """One epoch. Its metrics are additional fields, each a number."""

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
    """One attempt at a trial."""

    attempt: int
    dispatcher_id: str
    started_at: Time
    ended_at: Time | None
    outcome: str | None
    message: str | None
    environment: dict[str, Any] | None
    recomputed_from: int | None
    """The first epoch that it computed although an earlier attempt's was recorded."""
    recomputed_to: int | None
    """The last such epoch."""
    different_epoch: int | None
    """The first of them whose numbers were not the recorded ones, which stay."""


class AttemptPage(Page[Attempt]):
    """Attempts in order."""


class Event(Answer):
    """Something that happened to a sweep or a trial."""

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


class Failure(Answer):
    """A reason and message shared by failed trials of a sweep."""

    reason: str | None
    message: str | None
    trials: int = Field(description="how many trials failed so")
    trial_id: int = Field(description="one of these trials")


class FailurePage(Page[Failure]):
    """Failures, most frequent first."""
