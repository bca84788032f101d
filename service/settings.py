"""Settings, from environment variables named `LRD_…`."""

from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url

from lrd_core.errors import LRDError
from lrd_core.faults import sentence_of
from service.store.address import address


class Settings(BaseSettings):
    """What an installation may choose; each field is read from `LRD_<NAME>`.

    Their docstrings become docs/settings.md. The directory of the data sets, `LRD_DATA_DIR`, is no
    field: each node has its own, and `lrd_core.datasets.catalogue` reads it there.

    Raises:
        LRDError: a value is invalid; one line for each.
    """

    model_config = SettingsConfigDict(
        env_prefix="LRD_",
        env_ignore_empty=True,  # `LRD_PORT=`, as Compose sets what a file leaves open
        allow_inf_nan=False,  # a lease without an end would outlive its dispatcher
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    database_url: str = ""
    """SQLAlchemy URL; empty for a SQLite file in the storage directory."""
    database_password_file: Path | None = None
    """A file with the database's password, which then need not be in a variable."""
    storage_dir: Path = Path("~/.lrd")
    """Checkpoints, logs and the SQLite file. With several nodes: a path that all of them share."""
    trials_url: str = ""
    """Where the trials' checkpoints and logs go instead of `<storage_dir>/trials`: any fsspec
    URL that all nodes and the service reach, e.g. `s3://bucket/lrd` (extra `s3`)."""
    ray_address: str = "local"
    """`local` starts a Ray of its own; otherwise a cluster's address (`auto`, `10.0.0.1:6379`)."""
    host: str = "127.0.0.1"
    """Address to listen on. Other machines are served only once a token exists."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    max_trials: int = Field(100_000, ge=1)
    """A sweep with more trials is refused."""
    max_body_bytes: int = Field(1 << 20, ge=1024)
    """A larger request is refused with 413."""
    body_seconds: float = Field(60, gt=0)
    """Seconds for the body of a request to arrive; a slower one is refused with 408."""
    requests_per_minute: int = Field(6000, ge=1)
    """Limit of a token without one of its own; more requests are refused with 429."""
    max_queued_trials: int = Field(1_000_000, ge=1)
    """Limit of a token without one of its own, over all of its sweeps."""
    max_bundle_bytes: int = Field(256 << 20, ge=1024)
    """A larger bundle is refused with 413."""
    webhook_private: bool = False
    """Whether webhooks may point to this machine or its network."""
    lease_seconds: float = Field(30, gt=0)
    """How long a dispatcher that has gone silent keeps its right to run and write."""
    drain_seconds: float = Field(8, ge=0, le=86_400)
    """How long a dispatcher that is told to stop waits for the epochs that are being trained; what
    takes longer is trained again. Docker kills after 10 s, unless `stop_grace_period` says
    otherwise."""
    stall_seconds: float = Field(600, gt=0)
    """A running trial without a report for this long, or for ten of its epochs if that is longer,
    is stopped as `stalled` and retried, each time with twice the limit, up to 16 times it,
    until it has reported."""
    checkpoint_seconds: float = Field(5, ge=0)
    """Epochs shorter than this share one checkpoint; this is the most that a crash costs."""

    def __init__(self, **chosen: Any) -> None:
        try:
            super().__init__(**chosen)
        except ValidationError as error:
            raise LRDError("\n".join(map(_sentence, error.errors()))) from None

    @field_validator("database_url")
    @classmethod
    def _is_of_a_database(cls, url: str) -> str:
        try:
            if url:
                address(url)
        except LRDError as error:
            raise ValueError(str(error)) from None
        return url

    @field_validator("storage_dir")
    @classmethod
    def _is_a_folder(cls, path: Path) -> Path:
        if path.expanduser().is_file():
            raise ValueError(f"{path} is a file: name a folder")
        return path

    @field_validator("trials_url")
    @classmethod
    def _is_of_a_storage(cls, url: str) -> str:
        scheme, separator, _ = url.partition("://")  # what follows may hold a key
        if separator:
            import fsspec

            try:
                fsspec.get_filesystem_class(scheme.rpartition("::")[2])
            except (ValueError, ImportError) as error:
                raise ValueError(
                    f"no storage is known by {scheme}:// here ({error}); write a path, or a URL "
                    "such as s3://BUCKET/FOLDER (extra `s3`)"
                ) from None
        return url

    @cached_property
    def storage(self) -> Path:
        """The storage directory, absolute."""
        return self.storage_dir.expanduser().resolve()

    @cached_property
    def trials(self) -> str:
        """URL or absolute path of the trials' folders."""
        if "://" in self.trials_url:
            return self.trials_url
        folder = Path(self.trials_url).expanduser() if self.trials_url else self.storage / "trials"
        return str(folder.resolve())

    @cached_property
    def database(self) -> str:
        """The database's URL, password included.

        Raises:
            LRDError: the file of the password cannot be read, or there is no URL that it is for.
        """
        if file := self.database_password_file:
            if not self.database_url:
                raise LRDError(
                    f"LRD_DATABASE_PASSWORD_FILE is {file}, and LRD_DATABASE_URL is empty: name "
                    "the database, e.g. postgresql://USER@HOST/NAME"
                )
            try:
                password = file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise LRDError(f"LRD_DATABASE_PASSWORD_FILE cannot be read: {error}") from None
            url = make_url(self.database_url).set(password=password)
            return url.render_as_string(hide_password=False)
        return self.database_url or f"sqlite:///{self.storage / 'lrd.db'}"

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a child process."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["database_url"] = self.database_url or self.database
        return {f"LRD_{name.upper()}": str(value) for name, value in values.items()}


def _sentence(error: ErrorDetails) -> str:
    name = f"LRD_{'_'.join(map(str, error['loc']))}".upper()
    return f"{name}{':' * (error['type'] == 'value_error')} {sentence_of(error)}"
