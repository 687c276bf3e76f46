#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cd /app
printf 'SQLite format 3\0' | dd of=orders.db bs=16 count=1 conv=notrunc status=none
cp lost+found/orders.db-wal orders.db-wal
python3 - <<'PYTHON'
import sqlite3

db = sqlite3.connect("/app/orders.db")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.execute("REINDEX")
db.execute("PRAGMA journal_mode = DELETE")
assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
db.close()
PYTHON
