"""A sweep before it is submitted: its size, its time, and what its seeds can show."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from lrd_core.effective import SHOWN, advice
from lrd_core.sources import codes_of
from lrd_core.spec import Arm, SweepSpec, config_hash
from service.analysis.baselines import Pairing, as_asked, pair_with_baselines, without_baseline
from service.analysis.comparisons import is_seeded
from service.analysis.data import ArmInfo
from service.analysis.estimates import Past, estimate
from service.analysis.power import power_of
from service.formatting import listed
from service.placement import Node, fit, shortage
from service.store import history, leases, reuse
from service.store.submission import pairs_of
from service.store.turns import need


def plan_sweep(
    session: Session,
    spec: SweepSpec,
    arms: list[Arm],
    *,
    owner: str | None = None,
    extends: str | None = None,
) -> dict[str, Any]:
    """The plan of a valid sweep that `owner` would submit now; nothing is stored.

    Args:
        extends: the id of the sweep that would be extended to this one. Its own trials are neither
            run again nor counted as present elsewhere.
    """
    configs = [arm.config_json() for arm in arms]
    hashes = [config_hash(config) for config in configs]
    execution = spec.model_dump(mode="json", exclude_unset=True).get("execution", {})
    codes = dict(zip(hashes, codes_of(configs), strict=True))
    present = reuse.present(session, codes, execution=execution, owner=owner)
    own = pairs_of(session, extends) if extends else set()
    missing = {
        sha256: [(sha256, seed) for seed in spec.seeds if (sha256, seed) not in own]
        for sha256 in hashes
    }
    elsewhere = sum(pair in present for pairs in missing.values() for pair in pairs)
    infos = [
        ArmInfo(at, arm.label, config, arm.is_baseline, is_primary=arm.is_primary)
        for at, (arm, config) in enumerate(zip(arms, configs, strict=True))
    ]
    infos, paths = as_asked(infos, spec.baseline)
    pairings = pair_with_baselines(infos, paths)
    seeded = not pairings or any(
        is_seeded(each.arm.config) or is_seeded(each.baseline.config) for each in pairings
    )
    past = [Past(each.config, each.epochs_done, each.seconds) for each in history.timed(session)]
    planned = [
        (config, sum(pair not in present or not spec.reuse for pair in missing[sha256]))
        for config, sha256 in zip(configs, hashes, strict=True)
    ]
    family = sum(each.arm.is_primary for each in pairings)
    shown = power_of(len(spec.seeds), family, seeded=seeded)
    nodes = _nodes(session)
    return {
        "name": spec.name,
        "arms_total": len(arms),
        "trials_total": spec.trials_total(),
        "trials_added": sum(map(len, missing.values())),
        "arms": [{"label": arm.label, "is_baseline": arm.is_baseline} for arm in infos],
        "comparisons": len(pairings),
        "present_elsewhere": elsewhere,
        "reuse": spec.reuse,
        "advice": [*advice([arm.label for arm in arms], configs), *_lonely(infos, pairings)],
        "waiting_for": shortage(need(spec.resources, nodes), nodes) if nodes else None,
        "time": estimate(planned, past, _slots(spec, nodes)).to_json(),
        "seeds": shown.to_json(),
    }


def _lonely(arms: Sequence[ArmInfo], pairings: Sequence[Pairing]) -> Iterator[str]:
    """A sentence that names the arms that nothing is compared with, if others are baselines."""
    alone = without_baseline(arms, {each.arm.id for each in pairings})
    if alone:
        yield f"without a baseline to compare with: {listed(alone, most=SHOWN)}"


def _nodes(session: Session) -> list[Node]:
    """The cluster's nodes as its dispatcher last saw them; empty if none has."""
    lease = leases.current(session)
    seen = lease.nodes if lease else []
    return [Node(**each) for each in seen]


def _slots(spec: SweepSpec, nodes: list[Node]) -> int:
    """The number of trials that the cluster runs at once; at least 1."""
    trial = need(spec.resources, nodes)
    slots = sum(fit(trial, node) for node in nodes)
    return max(1, min(slots, spec.max_concurrent or slots))
