"""Who may import whom, seen from the outside (import-linter sees it from the inside)."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["service.app", "service.cli", "service.client", "service.serve"]
)
def test_the_service_starts_without_torch_and_ray(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print([name for name in ('torch', 'torchvision', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_spec_needs_neither_torch_nor_ray_nor_a_server() -> None:
    code = (
        "import sys, lrd_core.spec\n"
        "names = ('torch', 'ray', 'fastapi', 'sqlalchemy', 'numpy')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
