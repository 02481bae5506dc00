"""What the reconciler's function is asked by name, since it has the key of the venue: one answer for each."""

from collections.abc import Callable, Mapping
from typing import Any

from belay.ports import Services
from belay.workflows import adopt, doctor, identity, look, rebase, resolve_order, retire, trades, write_off

REQUESTS: dict[str, Callable[[Mapping[str, Any], Services], dict[str, Any]]] = {
    "adopt": adopt.answer,
    "doctor": doctor.answer,
    "rebase": rebase.answer,
    "resolve": look.answer,
    "resolve_order": resolve_order.answer,
    "retire": retire.answer,
    "take_back": retire.answer_take_back,
    "same_venue": identity.answer,
    "trades": trades.answer,
    "write_off": write_off.answer,
}
