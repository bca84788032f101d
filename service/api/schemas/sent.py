"""Bodies of requests, other than the specs of `lrd_core`."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lrd_core.spec import SweepSpec
from lrd_core.texts import Text


class FromPreset(BaseModel):
    """A preset with changes, instead of a sweep."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"preset": "table-2", "set": {"base.epochs": 2}, "seeds": 1}]
        },
    )

    preset: Text
    set: dict[Text, Any] = Field({}, description="dotted path -> value")
    seeds: Any = Field(None, description="as in a sweep; null keeps those of the preset")


def _plain_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with https:// or http:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user and no password may stand in the address")
    if any(not char.isascii() or char.isspace() or not char.isprintable() for char in text):
        raise ValueError("an address has ASCII letters and signs alone, and no blank")
    if parts.port == 0:
        raise ValueError("the port is 1 to 65535")
    return text


class WebhookRequest(BaseModel):
    """An address to notify when a sweep has ended."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"url": "https://example.com/lrd"}]},
    )

    url: Annotated[str, Field(min_length=8, max_length=2000), AfterValidator(_plain_url)]


class Clone(SweepSpec):
    """The parts of a sweep that the clone replaces; each may be left out."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(required=[], examples=[{"seeds": 5}])
    )
