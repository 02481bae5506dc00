"""Makes the strategies importable as in the evaluator's package; properties take as long as the machine needs."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2] / "functions" / "evaluator"))
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
