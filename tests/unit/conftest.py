"""Makes the strategies importable as they are in the evaluator's package, which is a folder and not a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "functions" / "evaluator"))
