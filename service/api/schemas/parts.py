"""What the answers are made of, and the answer that something is wrong."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no word for the last three; these are those of protobuf's JSON mapping."""
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
T = TypeVar("T")


class Answer(BaseModel):
    """No field is left out, and none is there that is not named."""

    model_config = ConfigDict(extra="forbid")


class Page(Answer, Generic[T]):
    """A part of a list; the rest is asked for with `page_token`."""

    items: list[T]
    next_page_token: str | None = Field(description="null: this is the last page")


class Fault(Answer):
    """One wrong place."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into what was sent")
    detail: str


class Problem(Answer):
    """RFC 9457."""

    type: str = Field(description="a kind of error, explained at this address")
    title: str
    status: int
    detail: str
    errors: list[Fault]
