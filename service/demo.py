"""`make demo`: the way from POST to table, in a folder of its own, leaving nothing running."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from service.cli import console, follow
from service.client import Client

SWEEP = Path(__file__).parent.parent / "lrd_core" / "presets" / "digits.yaml"


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
    sweep = client.submit(SWEEP.read_text())
    state = follow(client, sweep["id"])["state"]
    table = client.table(sweep["id"])
    sys.stdout.write("\n" + table + "\n")
    (results / "table.md").write_text(table)
    (results / "table.csv").write_text(client.table(sweep["id"], "csv"))
    _figure(client, sweep["id"], results)
    console.print("written to results/: table.md, table.csv, curves.png, curves.svg")
    return 0 if state == "succeeded" else 1


def _figure(client: Client, sweep_id: str, results: Path) -> None:
    """Mean learning curves: dashed without LRD, solid with; one colour an optimizer."""
    metrics = ("train_loss", "train_accuracy", "test_accuracy")
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 3), metrics, strict=True):
        for position, curve in enumerate(client.curves(sweep_id, metric)):
            style = "--" if position % 2 == 0 else "-"
            colour = f"C{position // 2}"
            axes.plot(curve["epochs"], curve["mean"], style, color=colour, label=curve["label"])
        axes.set_xlabel("epoch")
        axes.set_title(metric.replace("_", " ") + ", mean over seeds")
    axes.legend(fontsize="x-small")
    for suffix in ("png", "svg"):
        figure.savefig(results / f"curves.{suffix}")


if __name__ == "__main__":
    sys.exit(main())
