"""Peak memory of one call: ``python -m benchmarks.memory CASE WHO BATCH`` prints JSON."""

import json
import sys

from benchmarks.cases import make_cases, make_world
from benchmarks.measure import peak_growth


def main() -> None:
    """Measure one call after the network and the images are in memory."""
    name, who, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
    classifier, images, target = make_world(batch)
    case = next(c for c in make_cases(classifier, images, target) if c.name == name)
    call = case.ours if who == "ours" else case.peers[who]
    print(json.dumps({"bytes": peak_growth(call)}))


if __name__ == "__main__":
    main()
