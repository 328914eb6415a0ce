"""Report installed packages, device, BLAS, threads and caches, for a bug report.

examples:
  minidiff doctor
  minidiff doctor --json > doctor.json
"""

import json

from ..doctor import examine, lines


def add_arguments(parser):
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments):
    found = examine()
    print(json.dumps(found, indent=1) if arguments.json else "\n".join(lines(found)))
