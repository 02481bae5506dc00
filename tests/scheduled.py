"""The schedules that template.yaml came with. What somebody adds to it is theirs, and no test counts it."""

from pathlib import Path

from belay.local.schedules import Schedule, read_schedules

OWN = ("EmaCrossBtc", "RsiReversionBtc")


def own_schedules(template: Path) -> tuple[Schedule, ...]:
    return tuple(schedule for schedule in read_schedules(template) if schedule.name in OWN)
