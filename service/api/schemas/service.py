"""Answers about the service rather than a sweep: presets, the cluster, webhooks, the audit log."""

from typing import Any

from pydantic import Field

from service.api.schemas.parts import Answer, Page, Time


class Preset(Answer):
    """A sweep that is ready to submit."""

    name: str
    description: str
    title: str
    trials_total: int


class PresetPage(Page[Preset]):
    """All presets."""


class PresetDetail(Preset):
    """A preset with its spec and its file as written."""

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
    """How many CPUs or GPUs there are, and how many are held by trials."""

    total: float
    held: float


class RunningTrial(Answer):
    """A trial that is running, and where."""

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
    """A machine of the cluster and its total resources, free or not."""

    id: str
    cpus: float
    gpus: float
    memory_gib: float = Field(description="the part of its memory that Ray allocates")
    accelerator_type: str | None
    labels: dict[str, str]


class Cluster(Answer):
    """The dispatcher, the resources, and what is running and waiting."""

    dispatcher: Leader | None
    nodes: list[Node]
    cpus: InUse
    gpus: InUse
    trials_running: int
    running: list[RunningTrial]
    waiting: list[WaitingSweep]


class Webhook(Answer):
    """An address that is notified when a sweep has ended."""

    id: int
    url: str
    created_at: Time


class NewWebhook(Webhook):
    """A webhook with the secret that signs its messages, shown only this once."""

    secret: str


class WebhookPage(Page[Webhook]):
    """All webhooks."""


class Delivery(Answer):
    """A message to a webhook, and its outcome."""

    id: int
    sweep_id: str
    event: str
    created_at: Time
    tries: int
    next_at: Time | None = Field(description="null if it has arrived or was given up")
    delivered_at: Time | None
    error: str | None


class DeliveryPage(Page[Delivery]):
    """Messages, newest first."""


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
    """Changes, newest first."""
