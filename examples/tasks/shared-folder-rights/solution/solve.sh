#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cd /app/share
chmod 755 .

chown -R root:root published
chmod -R u=rwX,go=rX published

chown root:staff incoming
chmod 3770 incoming
chown games:staff incoming/letter.txt
chmod 640 incoming/letter.txt

chown -R daemon:daemon private
chmod -R u=rwX,go= private

chown root:root tools tools/report
chown root:staff tools/rotate
chmod 755 tools tools/report
chmod 750 tools/rotate
