"""How often what was taken for what, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from edgeaudio.cli.common import print_table

__all__ = ["print_accuracy", "print_confusion"]


def print_accuracy(accuracy: float, interval: tuple[float, float], correct: int, clips: int) -> None:
    """Print the part of the recordings that was decided right, with its interval."""
    low, high = interval
    click.echo(
        f"accuracy {100 * accuracy:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f} %), "
        f"{correct} of {clips} recordings\n"
    )


def print_confusion(
    labels: Sequence[str],
    confusion: Mapping[str, Mapping[str, int]],
    recall: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
) -> None:
    """Print ``confusion[true][decided]`` with the recall of each; columns in the order of `labels`."""
    decided = {label for row in confusion.values() for label in row}
    columns = [label for label in labels if label in decided]
    rows = [
        [
            label,
            *(str(row.get(column) or "-") for column in columns),
            f"{100 * recall[label]:.1f}",
            f"{100 * intervals[label][0]:.1f}-{100 * intervals[label][1]:.1f}",
        ]
        for label, row in confusion.items()
    ]
    print_table(["true \\ heard", *columns, "recall", "95 %"], rows)
