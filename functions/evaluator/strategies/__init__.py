"""One file per strategy: a module here is a strategy, found by its name. See `belay.domain.strategy.Strategy`."""

import pkgutil
from importlib import import_module
from typing import Any, cast

from belay.domain.errors import InvalidInput
from belay.domain.strategy import Strategy


def load(algorithm: str) -> Strategy[Any]:
    """Find a strategy by its module name.

    Raises:
        InvalidInput: there is no such module.
    """
    available = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if algorithm not in available:
        listed = ", ".join(available)
        raise InvalidInput("tick.algorithm", f"no strategy is called {algorithm}", f"Use one of: {listed}.")
    return cast(Strategy[Any], import_module(f"{__name__}.{algorithm}"))
