"""Building blocks of the answers, and the answer for an error."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no literals for the last three; these strings are from protobuf's JSON mapping."""
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
T = TypeVar("T")


class Answer(BaseModel):
    """An object that always has exactly the fields listed."""

    model_config = ConfigDict(extra="forbid")


class Page(Answer, Generic[T]):
    """A page of a list; `page_token` requests the next one."""

    items: list[T]
    next_page_token: str | None = Field(description="null on the last page")


class Fault(Answer):
    """A place in the request that is wrong."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body that was sent")
    detail: str


class Problem(Answer):
    """An error, as RFC 9457 defines it."""

    type: str = Field(description="address of an explanation of this kind of error")
    title: str
    status: int
    detail: str
    errors: list[Fault]
