"""A fresh process of `test_laws`: loads every case's saved state and goes on from it."""

import sys
from pathlib import Path

import torch

from lrd_core.optim import learning_rate_dropout
from tests.lrd_core.optim.cases import CASES, parameters, steps, values


def main(path: Path) -> None:
    saved = torch.load(path)
    resumed = {}
    for case in CASES:
        weights, state = saved[str(case)]
        params = parameters()
        optimizer = learning_rate_dropout(case.make(params), 0.9, seed=1)
        for param, weight in zip(params, weights, strict=True):
            param.data.copy_(weight)
        optimizer.load_state_dict(state)
        steps(optimizer, params, 6, 8)
        resumed[str(case)] = values(params)
    torch.save(resumed, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
