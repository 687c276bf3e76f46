"""Reads orders."""

import csv
from collections import namedtuple
from decimal import Decimal

Order = namedtuple("Order", "number amount currency")


def read_orders(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Order(r["order"], Decimal(r["amount"]), r["currency"]) for r in csv.DictReader(file)
        ]
