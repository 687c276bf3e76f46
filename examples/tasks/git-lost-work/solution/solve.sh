#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -euo pipefail
cd /app/repo
rm -f .git/index.lock
git symbolic-ref HEAD refs/heads/main

# The newest commit of a subject among those that nothing points to.
lost() {
    git fsck --no-reflogs --unreachable 2>/dev/null | awk '$2 == "commit" { print $3 }' |
        xargs git show -s --format='%ct %H %s' | grep -F " $1" | sort -n | awk 'END { print $2 }'
}

git branch discounts "$(lost 'Never discount below cost')"
git reset -q --hard "$(lost 'Round to cents')"
