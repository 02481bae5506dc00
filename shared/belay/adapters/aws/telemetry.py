"""Logs and metrics of the functions. Metric dimensions are service and stage only; symbols and ids go to the log."""

import json
from functools import partial

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

# In ASCII: what some readers take for the end of a line stays within it, and no text keeps a line from being written.
logger = Logger(json_serializer=partial(json.dumps, default=str, separators=(",", ":")))
metrics = Metrics()


def count(name: str, value: int = 1) -> None:
    """Add to a counter of this invocation."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
