"""The same trivial trials under Ray Tune and Optuna: run by a Python that has both.

PYTHON peers.py {tune,tune-default,optuna} TRIALS prints the seconds that they took. What is started
once, Ray and its worker processes, is warm by then.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EPOCHS = 5


def tune(trials: int, *, quick: bool) -> float:
    """`quick`: actors are reused, and nothing is logged."""
    import os

    if quick:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import ray
    from ray import tune as ray_tune

    def trivial(config: dict[str, Any]) -> None:
        for _ in range(EPOCHS):
            ray_tune.report({"loss": 0.0})

    def run(count: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            tuner = ray_tune.Tuner(
                trivial,
                param_space={"seed": ray_tune.grid_search(list(range(count)))},
                tune_config=ray_tune.TuneConfig(reuse_actors=quick),
                run_config=ray_tune.RunConfig(storage_path=folder, verbose=0),
            )
            started = time.perf_counter()
            results = tuner.fit()
            seconds = time.perf_counter() - started
        assert len(results) == count
        assert not results.errors
        return seconds

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    run(4)
    return run(trials)


def optuna(trials: int) -> float:
    """Random search, one process, SQLite."""
    import optuna as library

    library.logging.set_verbosity(library.logging.ERROR)

    def trivial(trial: library.Trial) -> float:
        trial.suggest_int("seed", 0, 1_000_000)
        for epoch in range(EPOCHS):
            trial.report(0.0, epoch)
        return 0.0

    with tempfile.TemporaryDirectory() as folder:
        study = library.create_study(
            storage=f"sqlite:///{Path(folder) / 'optuna.db'}",
            sampler=library.samplers.RandomSampler(seed=0),
        )
        study.optimize(trivial, n_trials=4)
        started = time.perf_counter()
        study.optimize(trivial, n_trials=trials)
        return time.perf_counter() - started


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    print(optuna(count) if kind == "optuna" else tune(count, quick=kind == "tune"))
