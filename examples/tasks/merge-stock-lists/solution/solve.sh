#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cat > /app/merge.py <<'PYTHON'
"""Merge the stock lists of three shops: merge.py IN OUT."""

import csv
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class Record:
    sku: str
    name: str
    cents: int
    quantity: int
    updated: datetime


def number(text):
    return text.replace(" ", "").replace("-", "").upper()


def berlin(path):
    with path.open(encoding="latin-1", newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            price = Decimal(row["Preis"].replace(".", "").replace(",", "."))
            when = datetime.strptime(row["Stand"], "%d.%m.%Y %H:%M").replace(tzinfo=timezone.utc)
            yield Record(
                number(row["Artikel"]), row["Bezeichnung"], int(price * 100), int(row["Menge"]), when
            )


def austin(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            when = datetime.fromisoformat(row["updated"].replace("Z", "+00:00"))
            yield Record(number(row["sku"]), row["title"], row["price_cents"], row["qty"], when)


def osaka(path):
    for item in ET.parse(path).getroot().iter("item"):
        when = datetime.fromtimestamp(int(item.get("updated")), timezone.utc)
        quantity = sum(int(place.get("count")) for place in item.iter("place"))
        cents = int(Decimal(item.get("price")) * 100)
        yield Record(number(item.get("sku")), item.get("name"), cents, quantity, when)


def counted(records):
    newest = {}
    for record in records:
        kept = newest.get(record.sku)
        if kept is None or record.updated >= kept.updated:
            newest[record.sku] = record
    return newest


def main():
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    shops = [
        counted(berlin(source / "berlin.csv")),
        counted(austin(source / "austin.jsonl")),
        counted(osaka(source / "osaka.xml")),
    ]
    stock, conflicts = [], []
    for sku in sorted(set().union(*shops)):
        records = [shop[sku] for shop in shops if sku in shop]
        best = max(records, key=lambda record: record.updated)  # the first of equal ones
        prices = sorted(record.cents for record in records)
        if prices[0] != prices[-1]:
            conflicts.append((sku, prices[0], prices[-1]))
        quantity = sum(record.quantity for record in records)
        if quantity:
            when = best.updated.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            row = {"sku": sku, "name": best.name, "price_cents": best.cents}
            stock.append(row | {"quantity": quantity, "updated": when})
    target.mkdir(parents=True, exist_ok=True)
    (target / "stock.json").write_text(json.dumps(stock, ensure_ascii=False, indent=1), "utf-8")
    with (target / "conflicts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("sku", "cheapest_cents", "dearest_cents"), *conflicts])


main()
PYTHON
