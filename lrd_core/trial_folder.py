"""What lies where in a trial's folder, on storage that all nodes and the service share.

    <storage>/trials/<id>/epoch-000003-<sha256>.pt    checkpoints, the newest two
                          attempt-1.log               what each attempt did, line by line
                          paths.json                  of a descent: the ways it took, for a figure
                          stop-1                      asks the attempt to save its state and stop

Free of torch: the service reads logs.
"""

from pathlib import Path


def trial_folder(storage: Path, trial_id: int) -> Path:
    """The folder of one trial."""
    return storage / "trials" / str(trial_id)


def log_file(folder: Path, attempt: int) -> Path:
    """What the attempt did, line by line."""
    return folder / f"attempt-{attempt}.log"


def paths_file(folder: Path) -> Path:
    """`[[[x, y], …], …]`: the ways that a descent took from the surface's `drawn` points."""
    return folder / "paths.json"


def stop_file(folder: Path, attempt: int) -> Path:
    """Its presence asks the attempt to save its state after the present epoch, and stop."""
    return folder / f"stop-{attempt}"
