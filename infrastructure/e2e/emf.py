"""What CloudWatch does with lines in its embedded metric format, which no emulator does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def metric_data(message: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The namespaces and data in a line of log; none, if it is another line."""
    try:
        line = json.loads(message)
    except ValueError:
        return
    for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
        for names in directive["Dimensions"]:
            dimensions = [{"Name": name, "Value": line[name]} for name in names]
            for metric in directive["Metrics"]:
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Unit": metric["Unit"],
                        "Value": line[metric["Name"]],
                        "Dimensions": dimensions,
                    },
                )
