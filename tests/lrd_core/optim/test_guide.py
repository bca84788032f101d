"""The code of docs/learning-rate-dropout.md runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from lrd_core.optim.kernels import cannot_run

GUIDE = Path(__file__).parents[3] / "docs" / "learning-rate-dropout.md"


def test_every_block_of_the_guide_runs() -> None:
    if reason := cannot_run(torch.device("cpu")):
        pytest.skip(f"two of its blocks need kernels, and there are none: {reason}")
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
        model, optimizer = names["model"], names["optimizer"]
        model(torch.randn(4, 20)).sum().backward()
        optimizer.step()


def test_its_diff_is_what_its_script_does() -> None:
    # Catches: a function renamed in the code and the script, but not in the first thing one reads.
    text = GUIDE.read_text()
    diff = re.search(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert diff is not None
    script = text.split("```python\n")[1]
    for line in diff[1].splitlines():
        if line.startswith("+") and line[1:]:
            assert line[1:] in script
