"""Make the shop's database and break it in three ways: make_db.py FOLDER."""

import shutil
import sqlite3
import sys
from pathlib import Path

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    status TEXT NOT NULL,
    cents INTEGER NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_status ON orders (status, cents);
"""
CITIES = ("Lyon", "Oslo", "Pune", "Quito")
STATUS = ("new", "paid", "sent", "returned")
INDEX = "orders_by_status"


def order(number):
    """Order NUMBER, always the same."""
    return (number, number * 7 % 120 + 1, STATUS[number * 13 % 4], number * 7919 % 100_000)


def add_orders(db, numbers):
    with db:
        db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", map(order, numbers))


def add_behind_the_index(db, numbers):
    """Add orders that one index never hears of: it leaves the schema for a moment."""
    row = db.execute("SELECT * FROM sqlite_master WHERE name = ?", (INDEX,)).fetchone()
    with db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = ?", (INDEX,))
        db.execute("PRAGMA writable_schema = RESET")
    add_orders(db, numbers)
    with db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
        db.execute("PRAGMA writable_schema = RESET")


def main(folder):
    path = folder / "orders.db"
    db = sqlite3.connect(path)
    db.executescript("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;" + SCHEMA)
    with db:
        customers = ((i, f"Customer {i}", CITIES[i % 4]) for i in range(1, 121))
        db.executemany("INSERT INTO customers VALUES (?, ?, ?)", customers)
    add_orders(db, range(1, 1501))
    add_behind_the_index(db, range(1501, 1561))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    db.execute("PRAGMA wal_autocheckpoint = 0")
    add_orders(db, range(1561, 1701))
    with db:
        db.execute("UPDATE orders SET status = 'sent' WHERE id BETWEEN 100 AND 110")
        db.execute("DELETE FROM orders WHERE id = 666")

    lost = folder / "lost+found"
    lost.mkdir()
    broken = bytearray(path.read_bytes())
    broken[:16] = bytes(16)
    shutil.copyfile(f"{path}-wal", lost / "orders.db-wal")
    db.close()
    path.write_bytes(broken)


main(Path(sys.argv[1]))
