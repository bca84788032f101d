"""python -m lrd_core TRIAL.yaml: one trial without Ray or server, its reports as JSON lines."""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from lrd_core import plugins
from lrd_core.documents import parse_yaml, read
from lrd_core.environment import device_of, pin
from lrd_core.errors import LRDError, PluginError, in_words
from lrd_core.report import EpochReport
from lrd_core.spec import TrialSpec
from lrd_core.training import TrainState, train


def run_file(file: Path) -> Iterator[EpochReport]:
    """Run the trial in a YAML or JSON file.

    Raises:
        InvalidSpec: with each fault.
        LRDError: the file is not UTF-8.
        TrialError: the trial cannot continue.
    """
    spec = TrialSpec.parse(parse_yaml(read(file)))
    try:
        pin(spec)
        yield from train(spec, TrainState.create(spec, device_of(spec)))
    except SystemExit as error:
        # Otherwise this process would end without a word, as if all were well.
        said = in_words(error, plugins.packages())
        raise PluginError(f"the trial's own code ended its process: {said}") from error


def main() -> int:
    """Exit status: 0 if the trial succeeded, 1 if it failed, 2 for wrong usage."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m lrd_core TRIAL.yaml\n")
        return 2
    stdout = sys.stdout
    try:
        with redirect_stdout(sys.stderr):  # whatever a plugin prints must not mix with reports
            for report in run_file(Path(sys.argv[1])):
                stdout.write(json.dumps(report.to_json()) + "\n")
                stdout.flush()
    except (LRDError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
