"""Rates to the euro, from the package's data; parsed once and cached beside it."""

import csv
import json
import os
from decimal import ROUND_HALF_UP, Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "data", "rates.csv")
CACHE = os.path.join(HERE, "data", "rates.json")


class UnknownCurrency(Exception):
    """A currency that has no rate."""


class Rates:
    """How much of each currency one euro is."""

    def __init__(self):
        if not os.path.exists(CACHE):
            with open(SOURCE, encoding="utf-8", newline="") as file:
                table = {row["currency"]: row["per_euro"] for row in csv.DictReader(file)}
            with open(CACHE, "w", encoding="utf-8") as file:
                json.dump(table, file)
        with open(CACHE, encoding="utf-8") as file:
            self.per_euro = {name: Decimal(text) for name, text in json.load(file).items()}

    def rate(self, currency):
        if currency not in self.per_euro:
            raise UnknownCurrency(currency)
        return self.per_euro[currency]

    def convert(self, amount, source, target):
        exact = amount / self.rate(source) * self.rate(target)
        return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
