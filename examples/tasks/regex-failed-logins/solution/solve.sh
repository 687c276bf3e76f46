#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cat > /app/pattern.txt <<'PATTERN'
^\S+ \S+ sshd(?:-session)?\[\d+\]: Failed password for (?:invalid user )?(?P<user>.*) from (?P<address>\S+) port (?P<port>\d+) ssh2$
PATTERN
