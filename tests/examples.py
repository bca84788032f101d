"""Records real answers for the OpenAPI document: `python -m tests.examples` writes
service/api/examples.json.

One small sweep is run from its submission to its end; of lists the first item is kept.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

import migrations
from lrd_core import sources
from service.api import openapi
from service.app import create_app
from service.dispatcher import Dispatcher
from service.settings import Settings
from service.store import webhooks
from service.store.session import Database
from service.versions import VERSION
from tests.conftest import factorial, small_sweep
from tests.inline import InlineExecutor

OUT = Path(openapi.__file__).with_name("examples.json")
SWEEP = "/api/v1/sweeps/{sweep_id}"
HOOKS = "/api/v1/webhooks"
CODE = f"{VERSION}+3fa9c1d2e4b5"
"""In place of the code that ran: its sum is another after each edit, and the file would be, too."""
ASKED = {
    "Sweep": SWEEP,
    "SweepPage": "/api/v1/sweeps",
    "SweepRefusals": f"{SWEEP}/refusals",
    "TrialPage": f"{SWEEP}/trials?page_size=1",
    "Trial": f"{SWEEP}/trials?page_size=1",
    "TrialDetail": "/api/v1/trials/1",
    "TrialRefusals": "/api/v1/trials/1/refusals",
    "ReportPage": "/api/v1/trials/1/reports?page_size=1",
    "AttemptPage": "/api/v1/trials/1/attempts",
    "EventPage": f"{SWEEP}/events?page_size=1",
    "FailurePage": f"{SWEEP}/failures",
    "ArmPage": f"{SWEEP}/arms",
    "Comparisons": f"{SWEEP}/comparisons",
    "Effects": "/api/v1/sweeps/{factorial_id}/effects",
    "Methods": f"{SWEEP}/methods",
    "Table": f"{SWEEP}/table",
    "Curves": f"{SWEEP}/curves",
    "SpeedAnswer": f"{SWEEP}/speed?threshold=0.8",
    "Power": f"{SWEEP}/power?difference=0.01",
    "Plot": f"{SWEEP}/plots/forest",
    "PresetPage": "/api/v1/presets",
    "PresetDetail": "/api/v1/presets/digits",
    "Cluster": "/api/v1/cluster",
    "Webhook": "/api/v1/webhooks/1",
    "WebhookPage": "/api/v1/webhooks",
    "DeliveryPage": "/api/v1/webhooks/1/deliveries",
    "AuditPage": "/api/v1/audit",
}


def main() -> None:
    """Run the sweep, ask, write."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(storage_dir=Path(folder))
        database = Database(settings.database)
        migrations.upgrade(database.engine)
        dispatcher = Dispatcher(database, InlineExecutor(settings.trials), lease_seconds=60)
        with TestClient(create_app(settings, database), base_url="http://127.0.0.1") as api:
            plan = api.post("/api/v1/sweeps?validate_only=true", json=small_sweep(seeds=3)).json()
            sweep_id = api.post("/api/v1/sweeps", json=small_sweep(seeds=3)).json()["id"]
            factorial_id = api.post("/api/v1/sweeps", json=factorial()).json()["id"]
            for _ in range(80):
                dispatcher.step(0)
            hook = {"url": "https://example.com/lrd"}
            found = {"SweepPlan": plan, "NewWebhook": api.post(HOOKS, json=hook).json()}
            with database.write() as session:
                webhooks.announce(session, [sweep_id])
            for name, path in ASKED.items():
                answer = api.get(path.format(sweep_id=sweep_id, factorial_id=factorial_id)).json()
                found[name] = answer["items"][0] if name == "Trial" else _short(answer)
        database.close()
    text = json.dumps(found, indent=1, ensure_ascii=False).replace(sources.IMPORTED, CODE)
    OUT.write_text(text + "\n")


def _short(answer: Any) -> Any:
    if isinstance(answer, dict) and isinstance(answer.get("items"), list):
        return answer | {"items": answer["items"][:1]}
    return answer


if __name__ == "__main__":
    main()
