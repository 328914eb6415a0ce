"""Makes scripts/course.py, grade.py and make_assignment.py importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))
