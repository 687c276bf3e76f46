#!/bin/sh
# {{canary}}
# Each check is one row of the report; the reward is 1 if all of them hold, else 0. Needs nothing but sh.
set -u

logs=/logs/verifier
work=/app
started=$(date +%s)
total=0
passed=0
rows=

check() { # check NAME COMMAND...
    name=$1
    shift
    total=$((total + 1))
    if "$@"; then
        status=passed
        passed=$((passed + 1))
    else
        status=failed
    fi
    echo "$status: $name"
    rows="$rows${rows:+,}{\"name\":\"$name\",\"status\":\"$status\",\"duration\":0}"
}

text_is_right() {
    [ "$(cat "$work/greeting.txt")" = 'Hello, world!' ]
}

check 'the file is there' test -f "$work/greeting.txt"
check 'the text is right' text_is_right

mkdir -p "$logs"
cat > "$logs/ctrf.json" <<REPORT
{"results":{"tool":{"name":"sh"},"summary":{"tests":$total,"passed":$passed,"failed":$((total - passed)),"pending":0,"skipped":0,"other":0,"start":${started}000,"stop":$(date +%s)000},"tests":[$rows]}}
REPORT
if [ "$passed" -eq "$total" ]; then
    echo 1 > "$logs/reward.txt"
else
    echo 0 > "$logs/reward.txt"
fi
