"""What a table is about, and at which epoch it is read, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from lrd_core.titles import value_titles
from service.formatting import count


def subject(configs: Sequence[Mapping[str, Any]]) -> str:
    """`FCNet on MNIST, the first 400 examples of each part, 30 epochs`: what all arms share, or
    empty."""
    first = configs[0]
    what = " on ".join(
        value_titles(path, [first[path]])[0]
        for path in ("model", "dataset")
        # A task of another package may have neither.
        if first.get(path) and len({config.get(path) for config in configs}) == 1
    )
    counts = [
        ((config.get("data") or {}).get("max_examples"), config.get("epochs")) for config in configs
    ]
    (examples, epochs), *_ = counts
    parts = [what]
    if examples and all(each == examples for each, _ in counts):
        parts.append(f"the first {count(examples, 'example')} of each part")
    if epochs and all(each == epochs for _, each in counts):
        parts.append(count(epochs, "epoch"))
    return ", ".join(filter(None, parts))


def place_read(at: str) -> str:
    """`last epoch` for `last`, `epoch 5` for `epoch:5`."""
    return {"last": "last epoch", "best": "best epoch"}.get(at, at.replace(":", " "))
