"""The C++ kernels: every bit in its place whatever the threads, and built once, or said why not."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lrd_core.optim import kernels
from lrd_core.optim.kernels import RULES, Masked, Move, Scalars, native
from lrd_core.optim.mask import Draw, keep_mask

pytestmark = pytest.mark.skipif(
    kernels.cannot_run(torch.device("cpu")) is not None, reason="no C++ compiler is here"
)


def tensors() -> list[Tensor]:
    """Three of them large enough for several threads, whose stretches end within rows."""
    shapes = [(3,), (50_001,), (5, 7, 3, 2), (64, 33, 5, 5), (41_000,), (1,), (0,)]
    made = [torch.linspace(0.5, 1.5, torch.Size(shape).numel()).view(shape) for shape in shapes]
    return [
        each.to(memory_format=torch.channels_last) if each.dim() == 4 else each for each in made
    ]


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("first", [0, 2**32 - 60_000], ids=["from 0", "past 2**32"])
def test_each_element_gets_its_bit_of_the_mask(
    threads: int, dtype: torch.dtype, first: int
) -> None:
    torch.set_num_threads(threads)
    draw, parts, expected, position = Draw.of(5, 9, 0.3), [], [], first
    for new in tensors():
        new, old = new.to(dtype), torch.zeros_like(new, dtype=dtype)
        mask = keep_mask(5, 9, new.numel(), 0.3, offset=position).view(new.shape)
        expected.append(torch.where(mask, new, old))
        parts.append(Masked(new, old, draw, position))
        position += new.numel()
    kernels.restore(parts)
    for part, right in zip(parts, expected, strict=True):
        assert torch.equal(part.tensor, right)


def position_of(hash32: int, draw: Draw) -> int:
    """The one position with this hash: each of its mixings can be undone."""

    def unshifted(x: int, bits: int) -> int:
        result = x
        for _ in range(32 // bits):
            result = x ^ (result >> bits)
        return result

    def divided(x: int, factor: int) -> int:
        return x * pow(factor, -1, 2**32) % 2**32

    x = divided(unshifted(hash32, 15), 0x9E3779B1)
    x = divided(unshifted(x, 16), 0x846CA68B) - draw.key2
    x = divided(unshifted(x % 2**32, 15), 0x7FEB352D)
    return (unshifted(x, 16) ^ draw.key1) % 2**32


@pytest.mark.usefixtures("kernel_family")
@pytest.mark.parametrize(("above", "kept"), [(-1, True), (0, False), (1, False)])
@pytest.mark.parametrize("keep_prob", [0.0, 2**-32, 0.3, 1 - 2**-32])
def test_the_last_hash_that_is_kept_is_the_one_below_p(
    above: int, kept: bool, keep_prob: float
) -> None:
    draw = Draw.of(3, 4, keep_prob)
    hash32 = (draw.threshold + above - 2**31) % 2**32  # hashes are ordered as signed numbers
    if not 0 <= draw.threshold + above < 2**32:
        return  # no hash is there
    position = position_of(hash32, draw)
    assert bool(keep_mask(3, 4, 1, keep_prob, offset=position)) is kept
    new, old = torch.ones(1), torch.zeros(1)
    kernels.restore([Masked(new, old, draw, position)])
    assert bool(new) is kept


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("rule", RULES)
def test_the_number_of_threads_changes_no_bit(rule: str) -> None:
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        moves, position = [], 0
        for tensor in tensors():
            moments = [torch.full_like(tensor, 0.25) for _ in range(3)]
            scalars = Scalars(0.1, 0.01, 0.9, 0.1, 0.99, 0.01, 1e-8, 2.0, 3.0, 0.5)
            gradient = (tensor - 1).contiguous()
            moves.append(Move(tensor, gradient, moments, scalars, Draw.of(1, 2, 0.5), position))
            position += tensor.numel()
        kernels.step(rule, moves)
        results.append([each for move in moves for each in (move.tensor, *move.moments)])
    for one, other in zip(results[0], results[1], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(results[0], results[2], strict=True):
        assert torch.equal(one, other)


# --- building -------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine on which nothing was built yet."""
    native._library.cache_clear()
    kernels.cannot_run.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path / "learning-rate-dropout"
    native._library.cache_clear()
    kernels.cannot_run.cache_clear()


def counting_compiler(folder: Path) -> Path:
    """A compiler that notes each time it is asked to build."""
    script = folder / "compiler"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || echo built >> {folder}/built\nexec g++ "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def test_they_are_built_once_a_machine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(counting_compiler(tmp_path)))
    for _ in range(2):  # two processes
        native._library()
        native._library.cache_clear()
    assert (tmp_path / "built").read_text() == "built\n"
    assert [each.suffix for each in cache.iterdir()] == [".so"]


def test_what_is_torn_is_built_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: `file too short` in each process of a machine, and so no kernels, for good."""
    native._library()
    native._library.cache_clear()
    (built,) = cache.iterdir()
    # Another machine's: this process would have the first at its path still.
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    torn = cache / cache.name / built.name
    torn.parent.mkdir()
    torn.write_bytes(b"")
    native._library()
    assert torn.stat().st_size == built.stat().st_size
    assert list(torn.parent.iterdir()) == [torn]


def test_another_processor_gets_a_build_of_its_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a home shared by machines, and instructions that one of them does not know.
    native._library()
    native._library.cache_clear()
    monkeypatch.setattr(native, "_processor", lambda: "another one")
    native._library()
    assert len(list(cache.iterdir())) == 2


def test_where_the_cache_cannot_be_written_the_process_builds_for_itself(
    cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "learning-rate-dropout").write_text("not a folder")
    assert kernels.cannot_run(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (None, "no C++ compiler was found; install g++, or name one in CXX"),
        ("/nowhere/g++", "No such file or directory"),
        ("/bin/false", "/bin/false does not build the kernels: it says no more"),
    ],
)
def test_without_a_compiler_it_says_why(
    cache: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None, reason: str
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    if compiler is not None:
        monkeypatch.setenv("CXX", compiler)
    said = kernels.cannot_run(torch.device("cpu"))
    assert said is not None
    assert reason in said


def test_a_fault_of_the_source_is_told_by_the_compilers_own_words(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "native.cpp"
    wrong.write_text("int broken( {")
    monkeypatch.setattr(native, "SOURCE", wrong)
    assert "does not build the kernels: " in (kernels.cannot_run(torch.device("cpu")) or "")
    assert "error" in (kernels.cannot_run(torch.device("cpu")) or "")


def test_every_loop_is_made_of_vectors(tmp_path: Path) -> None:
    # Catches: a rule whose loop silently becomes ten times slower, as one with an array did.
    if (
        "Free Software"
        not in subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout
    ):
        pytest.skip("only GCC tells of its vectors")
    command = ["g++", *native.FLAGS, "-fopt-info-vec-optimized", "-o", "x.so", str(native.SOURCE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if "loop vectorized" in line]
    lines = native.SOURCE.read_text().splitlines()
    simd = [number for number, line in enumerate(lines, 1) if "#pragma omp simd" in line]
    vectorised = [
        next((at for at in simd if 0 < int(line.split(":")[1]) - at <= 2), None) for line in told
    ]
    assert vectorised.count(simd[0]) >= 2 * len(RULES)  # two types
    assert vectorised.count(simd[1]) >= 4  # four widths
