#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cd /app/src
rm -f report/data/rates.json

# Data comes out of the package wherever it lies, and nothing is written beside it.
python3 - <<'PYTHON'
from pathlib import Path

path = Path("report/rates.py")
head, tail = path.read_text().split("        if not os.path.exists(CACHE):")
reading = '''        source = files("report").joinpath("data", "rates.csv")
        with source.open(encoding="utf-8") as file:
            rows = csv.DictReader(file)
            self.per_euro = {row["currency"]: Decimal(row["per_euro"]) for row in rows}
'''
text = head + reading + "\n    def rate" + tail.split("    def rate", 1)[1]
text = text.replace("import json\nimport os\n", "").replace(
    "ROUND_HALF_UP, Decimal\n", "ROUND_HALF_UP, Decimal\nfrom importlib.resources import files\n", 1
)
start = text.index("HERE =")
path.write_text(text[:start] + "\n" + text[text.index("class UnknownCurrency"):])
PYTHON

stage=$(mktemp -d)
cp -r report "$stage/report"
find "$stage" -name __pycache__ -prune -exec rm -rf {} +
printf 'import runpy\n\nrunpy.run_module("report", run_name="__main__")\n' > "$stage/__main__.py"
mkdir -p /app/dist
python3 -m zipapp "$stage" -o /app/dist/report.pyz
rm -rf "$stage"
