"""Puts the placement study's policies into the package, where they can be loaded by name.

`python experiments/specialists.py` takes the policy of training seed 0 of every row but the longest
run; beside each, a JSON file has its card and what the study found of its row.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from jaxmem.policies.policy_file import read_policy
from jaxmem.whole_files import write_whole

STUDY = Path(__file__).parent / "results" / "placement_study"
SHIPPED = Path(__file__).parent.parent / "jaxmem" / "policies" / "shipped"
LEFT_OUT = ("large-short-lived-long",)
MOST = 200_000  # bytes of a policy


def main() -> None:
    """Copies them; SystemExit where one is larger than a package should carry."""
    rows = json.loads((STUDY / "results.json").read_text(encoding="utf-8"))["rows"]
    for row, found in rows.items():
        file = STUDY / "members" / f"{row}-0.safetensors"
        if row in LEFT_OUT or not file.exists():
            continue
        if file.stat().st_size > MOST:
            raise SystemExit(f"{file} has {file.stat().st_size:,} bytes; at most {MOST:,}")
        card = asdict(read_policy(file)[1])
        keys = ("learned", "by_seed", "best_of_four_fits", "best_heuristic", "devices")
        results = {key: found[key] for key in keys}
        shutil.copyfile(file, SHIPPED / f"{row}.safetensors")
        text = json.dumps({"card": card, "study": results}, indent=1)
        write_whole(SHIPPED / f"{row}.json", f"{text}\n")


if __name__ == "__main__":
    main()
