"""Changes of a submitted sweep, to fields that no result depends on."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from lrd_core.configuration import Spec
from lrd_core.faults import parsed
from lrd_core.spec import MaxConcurrent, MaxFailures, Notes, Priority, SweepSpec, Tags, expand_arms
from lrd_core.texts import Label, Text

Parts = Annotated[dict[Text, Any], Field(max_length=20)]


class Changes(Spec):
    """New values for fields of a sweep; null restores a field's default."""

    name: Annotated[Label, Field(json_schema_extra=lambda schema: schema.pop("default"))] = ""
    """What the sweep is called; need not be unique."""
    tags: Tags | None = None
    """Words to find it by; they replace those that it has."""
    notes: Notes | None = None
    """Why it is run, and what was found; plain text."""
    priority: Priority | None = None
    """From the next trial on."""
    max_concurrent: MaxConcurrent | None = None
    """The most trials that run at once, from the next trial on."""
    max_failures: MaxFailures | None = None
    """How many trials must have failed for the sweep to pause, from the next failure on."""
    table: Parts | None = None
    """Parts of the table's layout; the others stay."""
    expected: Parts | None = None
    """Published numbers; they replace those that it has."""

    @classmethod
    def parse(cls, document: Any) -> Self:
        """The changes that `document` holds.

        Raises:
            InvalidSpec: with each fault and its JSON pointer.
        """
        return parsed(cls, document)


def changed(spec: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """The sweep `spec`, as plain data, with the changes.

    Raises:
        InvalidSpec: the table or the expected numbers do not fit the sweep.
    """
    given = changes.model_dump(mode="json", exclude_unset=True)
    if given.get("table") is not None:
        given["table"] = _without_null({**spec.get("table", {}), **given["table"]})
    new = _without_null({**spec, **given})
    if any(new.get(name) != spec.get(name) for name in ("table", "expected")):
        expand_arms(SweepSpec.parse(new))
    return new


def _without_null(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
