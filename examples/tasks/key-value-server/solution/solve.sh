#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cp "$(dirname "$0")/server.py" /app/server.py
# A session of its own and no inherited output: the server outlives this script.
setsid nohup python3 /app/server.py </dev/null >/app/server.log 2>&1 &
for _ in $(seq 50); do
    if (exec 3<>/dev/tcp/127.0.0.1/8765) 2>/dev/null; then exit 0; fi
    sleep 0.1
done
echo "the server did not start" >&2
exit 1
