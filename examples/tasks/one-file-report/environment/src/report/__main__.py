"""python3 -m report FILE CURRENCY."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "vendor"))

from tabular import align

from report.rates import Rates, UnknownCurrency
from report.reading import read_orders


def main(argv):
    if len(argv) != 3:
        print("usage: report FILE CURRENCY", file=sys.stderr)
        return 64
    try:
        rates = Rates()
        rows = [
            (o.number, str(rates.convert(o.amount, o.currency, argv[2])))
            for o in read_orders(argv[1])
        ]
    except UnknownCurrency as problem:
        print(f"report: unknown currency {problem}", file=sys.stderr)
        return 3
    except OSError as problem:
        print(f"report: {problem.strerror}", file=sys.stderr)
        return 66
    print(align([("order", argv[2]), *rows]))
    return 0


sys.exit(main(sys.argv))
