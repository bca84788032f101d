"""`make demo`: from POST to table, in a folder of its own, leaving nothing running."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from service.client import Client
from service.commands.watching import console, follow, undispatched

PATIENCE_SECONDS = 60.0
"""Time for a dispatcher to start; Ray takes four seconds of it. After that the sweep is submitted
regardless, and what it waits for is reported."""


def main() -> int:
    """0 if every trial succeeded."""
    results = Path("results")
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lrd-demo-") as folder:
        environment = {**os.environ, "LRD_STORAGE_DIR": folder, "LRD_PORT": "0"}
        with (results / "demo.log").open("w") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve"],
                env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            try:
                assert service.stdout is not None
                url = service.stdout.readline().strip()
                if not url:
                    console.print("the service did not start; see results/demo.log")
                    return 1
                console.print(f"the service listens on {url} until the sweep has ended")
                with Client(url) as client:
                    return _run(client, results)
            finally:
                service.send_signal(signal.SIGTERM)
                service.wait(60)


def _run(client: Client, results: Path) -> int:
    late = time.monotonic() + PATIENCE_SECONDS
    while undispatched(client) and time.monotonic() < late:
        time.sleep(0.2)
    sweep = client.submit_preset("digits")
    state = follow(sweep)["state"]
    table = sweep.table_text()
    sys.stdout.write("\n" + table + "\n")
    (results / "table.md").write_text(table)
    (results / "table.csv").write_text(sweep.table_text("csv"))
    for kind in ("png", "svg"):
        figure = sweep.figure("learning-curves", kind)
        (results / f"curves.{kind}").write_bytes(figure)
    console.print("written to results/: table.md, table.csv, curves.png, curves.svg")
    return 0 if state == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
