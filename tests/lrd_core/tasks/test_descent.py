"""The paper's surfaces, and descents on them."""

from typing import Any

import numpy as np
import pytest
import torch

from lrd_core.spec import TrialSpec
from lrd_core.surfaces import SURFACES
from lrd_core.tasks.descent import STEPS_PER_EPOCH, Descent, paths
from lrd_core.training import TrainState, train


def spec(surface: str, **optimizer: Any) -> TrialSpec:
    return TrialSpec.parse(
        {
            "dataset": "surface",
            "data": {"surface": surface},
            "model": "point",
            "optimizer": optimizer,
            "epochs": 2,
        }
    )


def test_the_optimum_of_eq_3_is_where_the_paper_says() -> None:
    toy = SURFACES["toy"]
    x, y = np.meshgrid(np.linspace(-4, 0, 401), np.linspace(-2, 3, 501), indexing="ij")
    height = toy.height(x, y)
    best = np.unravel_index(height.argmin(), height.shape)
    ((optimum_x, optimum_y),) = toy.optima
    assert abs(x[best] - optimum_x) <= 0.011
    assert abs(y[best] - optimum_y) <= 0.021
    # Eq. 3 by hand at (−1, 1): (1.5 − 1 − 1)² + (2.25 − 1 − 1)² + (2.625 − 1 − 1)²
    assert toy.height(-1.0, 1.0) == pytest.approx(0.25 + 0.0625 + 0.390625)


def test_the_starts_of_the_toy_problem_fill_the_papers_region() -> None:
    starts = np.array(SURFACES["toy"].starts)
    assert len(starts) == 41 * 51
    np.testing.assert_allclose(starts.min(0), [-4, -2])
    np.testing.assert_allclose(starts.max(0), [0, 3])


def test_plain_descent_stays_in_the_saddle_and_lrd_leaves_it() -> None:
    plain = paths(spec("saddle", name="sgdm", lr=0.05, momentum=0.0), steps=400)
    np.testing.assert_array_equal(plain[..., 0], plain[..., 1])  # on the diagonal to the last bit
    assert np.abs(plain[-1]).max() < 1e-6
    dropped = paths(spec("saddle", name="sgdm", lr=0.05, momentum=0.0, keep_prob=0.5), steps=400)
    assert (np.abs(np.abs(dropped[-1]) - 1) < 0.1).all(1).mean() > 0.98


def test_every_run_draws_its_own_mask_for_each_element() -> None:
    start = (-2.0, 1.0)
    way = paths(spec("toy", name="adam", lr=0.1, keep_prob=0.5), starts=[start] * 400, steps=1)
    moved = way[1] != way[0]  # (400, 2)
    for choice in ([False, False], [False, True], [True, False], [True, True]):
        # 100 expected of each, standard deviation 8.7: outside five of them once in 2 million
        assert abs((moved == choice).all(1).sum() - 100) < 44


def test_a_run_is_not_moved_by_the_others() -> None:
    plain = spec("toy", name="adam", lr=0.1)
    together = paths(plain, starts=[(-1.0, 1.0), (-3.0, -1.0)], steps=20)
    alone = paths(plain, starts=[(-3.0, -1.0)], steps=20)
    np.testing.assert_allclose(together[:, 1], alone[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"regularizers": [{"kind": "NG"}]},
        {"regularizers": [{"kind": "DG", "keep_prob": 0.5}]},
        {"schedule": {"milestones": [1], "gamma": 0.0}},
    ],
    ids=["NG", "DG", "schedule"],
)
def test_the_paths_of_a_figure_end_where_the_trial_does(changes: dict[str, Any]) -> None:
    # Catches: a figure of a descent without the noise, or at the first learning rate to its end.
    document = spec("saddle", name="sgdm", lr=0.05, momentum=0.5).model_dump(mode="json")
    trial = TrialSpec.parse(document | changes)
    state = TrainState.create(trial)
    assert len(list(train(trial, state))) == 2
    end: Any = state.model
    np.testing.assert_allclose(paths(trial)[-1], end.at.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_trial_reports_how_many_runs_reach_the_optimum() -> None:
    trial = spec("toy", name="adam", lr=0.1)
    last = list(train(trial, TrainState.create(trial)))[-1].metrics
    assert set(last) == {"train_loss", "final_loss", "optimum_distance", "reached_share"}
    end = paths(trial, steps=2 * STEPS_PER_EPOCH)[-1]
    distance = np.linalg.norm(end - np.array([-0.74, 1.40]), axis=1)
    assert last["reached_share"] == pytest.approx((distance <= 0.1).mean())
    assert last["optimum_distance"] == pytest.approx(distance.mean(), rel=1e-5)
    assert 0.1 < last["reached_share"] < 0.5  # Adam is caught by the other minimum: Figure 4a


def test_either_minimum_of_the_saddle_counts() -> None:
    task = Descent(spec("saddle", name="sgdm"), torch.device("cpu"), starts=[(1, -1), (-1, 1)])
    assert task.evaluate(task.model())["reached_share"] == 1


def test_a_small_distance_is_not_lost_where_there_are_many_runs() -> None:
    # Catches: |a|² − 2ab + |b|², torch's way for more than 25 points: 5e-4 for what is 1e-6.
    starts = [(1 + 1e-6, -1)] * 100
    task = Descent(spec("saddle", name="sgdm"), torch.device("cpu"), starts=starts)
    found = task.evaluate(task.model())["optimum_distance"]
    assert float(found) == pytest.approx(1e-6, rel=0.1)


def test_a_few_points_of_a_way_are_among_all_of_them() -> None:
    trial = spec("toy", name="adam", lr=0.1, keep_prob=0.5)
    whole, few = paths(trial, steps=250), paths(trial, steps=250, points=50)
    np.testing.assert_array_equal(few, whole[::5])
