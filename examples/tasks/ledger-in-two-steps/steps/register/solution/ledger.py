"""Plain-text books: ledger.py balances|register (see `--help`)."""

import argparse
import re
import sys
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

AMOUNT = re.compile(r"-?\d+(\.\d{1,2})?")


class Broken(Exception):
    """A file breaks a rule."""


@dataclass
class Transaction:
    line: int
    day: date
    postings: list = field(default_factory=list)  # (account, amount or None)


def amount_of(text, line):
    if text is None:
        return None
    if not AMOUNT.fullmatch(text):
        raise Broken(f"line {line}: unreadable amount {text!r}")
    return Decimal(text)


def finish(transaction):
    """Check a transaction and give the missing amount to the posting that has none."""
    if not transaction.postings:
        raise Broken(f"line {transaction.line}: no postings")
    missing = [i for i, (_, amount) in enumerate(transaction.postings) if amount is None]
    total = sum(amount for _, amount in transaction.postings if amount is not None)
    if len(missing) > 1:
        raise Broken(f"line {transaction.line}: two amounts are missing")
    if missing:
        account, _ = transaction.postings[missing[0]]
        transaction.postings[missing[0]] = (account, -total)
    elif total:
        raise Broken(f"line {transaction.line}: does not add up, {total} too much")
    return transaction


def read(path):
    """All transactions of a file, each checked."""
    done, open_one = [], None
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.startswith(";"):
                continue
            if not text.strip():
                done += [finish(open_one)] if open_one else []
                open_one = None
            elif text[0].isspace():
                if open_one is None:
                    raise Broken(f"line {number}: a posting outside of a transaction")
                account, *rest = text.split()
                if len(rest) > 1:
                    raise Broken(f"line {open_one.line}: unreadable posting")
                amount = amount_of(rest[0] if rest else None, open_one.line)
                open_one.postings.append((account, amount))
            else:
                done += [finish(open_one)] if open_one else []
                try:
                    open_one = Transaction(number, date.fromisoformat(text[:10]))
                except ValueError:
                    raise Broken(f"line {number}: no such date") from None
    return done + ([finish(open_one)] if open_one else [])


def read_all(paths):
    """The transactions of all files; a fault is named with its file."""
    found = []
    for path in paths:
        try:
            found += read(path)
        except Broken as problem:
            raise Broken(f"{path}: {problem}") from None
    return found


def balances(transactions, first, last):
    sums = {}
    for transaction in transactions:
        if first <= transaction.day <= last:
            for account, amount in transaction.postings:
                sums[account] = sums.get(account, Decimal(0)) + amount
    for account in sorted(sums):
        print(f"{account} {sums[account] + 0:.2f}")


def register(transactions, wanted, first, last):
    total = Decimal(0)
    for transaction in sorted(transactions, key=lambda t: t.day):
        for account, amount in transaction.postings:
            if account == wanted or account.startswith(wanted + ":"):
                total += amount
                if first <= transaction.day <= last:
                    print(f"{transaction.day} {account} {amount + 0:.2f} {total + 0:.2f}")


def options():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("balances", "register"):
        command = commands.add_parser(name)
        if name == "register":
            command.add_argument("account")
        command.add_argument("--from", dest="first", type=date.fromisoformat, default=date.min)
        command.add_argument("--to", dest="last", type=date.fromisoformat, default=date.max)
        command.add_argument("files", nargs="+")
    return parser.parse_args()


def main():
    chosen = options()
    try:
        transactions = read_all(chosen.files)
    except Broken as problem:
        sys.exit(print(problem, file=sys.stderr) or 2)
    if chosen.command == "balances":
        balances(transactions, chosen.first, chosen.last)
    else:
        register(transactions, chosen.account, chosen.first, chosen.last)


main()
