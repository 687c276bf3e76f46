#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
# Tries every right as the account that has it or lacks it. Plain shell: this image has no Python.
set -uo pipefail

share=/app/share
logs=/logs/verifier
rows="" failed=0 tests=0
start=$(date +%s%3N)

as() { # as UID GID GROUPS COMMAND…: run as an account, quietly
    setpriv --reuid "$1" --regid "$2" --groups "$3" -- "${@:4}" >/dev/null 2>&1 </dev/null
}
daemon() { as 1 1 1 "$@"; }
stranger() { as 33 33 33 "$@"; }    # www-data
games() { as 5 60 60,50 "$@"; }     # in staff
backup() { as 34 34 34,50 "$@"; }   # in staff

check() { # check NAME FUNCTION: one row of the report; the function's exit code decides
    local status=passed began now
    began=$(date +%s%3N)
    "$2" || { status=failed; failed=$((failed + 1)); }
    now=$(date +%s%3N)
    tests=$((tests + 1))
    rows="$rows${rows:+,}{\"name\":\"$1\",\"status\":\"$status\",\"duration\":$((now - began))}"
    echo "$status $1"
}

contents_are_kept() {
    [ "$(cd "$share" && find . -type f -exec cksum {} + | LC_ALL=C sort)" = "\
1043311398 15 ./published/2026/march.txt
105980713 17 ./incoming/letter.txt
1072552602 23 ./published/hours.txt
1636597602 25 ./published/2026/drafts/april plan.txt
1973364809 11 ./private/service.conf
221282336 33 ./private/keys/service.key
2709757430 16 ./tools/report
3004866955 23 ./tools/rotate" ]
}

everybody_reads_published() {
    local path
    for path in published published/2026 published/2026/drafts; do
        stranger ls "$share/$path" && games ls "$share/$path" || return 1
    done
    stranger cat "$share/published/hours.txt" && stranger cat "$share/published/2026/march.txt" &&
        stranger cat "$share/published/2026/drafts/april plan.txt" &&
        daemon cat "$share/published/2026/drafts/april plan.txt"
}

nobody_writes_published() {
    local who path
    for who in stranger games backup daemon; do
        for path in hours.txt 2026/march.txt "2026/drafts/april plan.txt"; do
            $who sh -c 'exec 3>>"$1"' sh "$share/published/$path" && return 1
        done
        for path in . 2026 2026/drafts; do
            $who mkdir "$share/published/$path/x" && return 1
        done
        # The owner of a file could give himself the right to write.
        $who chmod u+w "$share/published/2026/march.txt" && return 1
    done
    return 0
}

staff_fills_incoming() {
    games ls "$share/incoming" && backup cat "$share/incoming/letter.txt" &&
        games sh -c 'umask 027; echo one >"$1/from games"; mkdir "$1/folder"' sh "$share/incoming" &&
        backup sh -c 'umask 027; echo two >"$1/from backup"' sh "$share/incoming"
}

new_files_belong_to_staff() {
    [ "$(stat -c %g "$share/incoming/from games" "$share/incoming/folder" "$share/incoming/from backup" \
        2>/dev/null | sort -u)" = 50 ] && backup cat "$share/incoming/from games"
}

staff_keeps_off_files_of_others() {
    backup rm -f "$share/incoming/from games" && return 1
    backup mv "$share/incoming/letter.txt" "$share/incoming/taken" && return 1
    games rm -f "$share/incoming/from backup" && return 1
    games rm -f "$share/incoming/from games" && games rmdir "$share/incoming/folder" &&
        backup rm -f "$share/incoming/from backup"
}

strangers_stay_out_of_incoming() {
    stranger ls "$share/incoming" && return 1
    stranger cat "$share/incoming/letter.txt" && return 1
    daemon test -e "$share/incoming/letter.txt" && return 1
    stranger mkdir "$share/incoming/x" && return 1
    return 0
}

daemon_uses_private() {
    [ "$(find "$share/private" ! -uid 1 | wc -l)" = 0 ] && daemon ls "$share/private/keys" &&
        daemon cat "$share/private/keys/service.key" &&
        daemon sh -c 'exec 3>>"$1/service.conf" && : >"$1/keys/new" && rm "$1/keys/new"' sh "$share/private"
}

nobody_else_enters_private() {
    local who path
    for who in stranger games backup; do
        $who ls "$share/private" && return 1
        for path in service.conf keys keys/service.key; do
            $who test -e "$share/private/$path" && return 1
        done
    done
    # Also not if a folder above were opened one day.
    [ "$(find "$share/private" -perm /077 | wc -l)" = 0 ]
}

staff_runs_rotate() {
    games "$share/tools/rotate" && backup "$share/tools/rotate" || return 1
    stranger "$share/tools/rotate" && return 1
    daemon "$share/tools/rotate" && return 1
    return 0
}

everybody_runs_report_as_themselves() {
    stranger "$share/tools/report" && games "$share/tools/report" && daemon "$share/tools/report" &&
        [ "$(find "$share/tools" -perm /6000 -type f | wc -l)" = 0 ]
}

only_root_writes_tools() {
    local who tool
    for who in stranger games backup daemon; do
        for tool in rotate report; do
            $who sh -c 'exec 3>>"$1"' sh "$share/tools/$tool" && return 1
            $who chmod u+w "$share/tools/$tool" && return 1
        done
        $who mkdir "$share/tools/x" && return 1
    done
    return 0
}

for name in contents_are_kept everybody_reads_published nobody_writes_published staff_fills_incoming \
    new_files_belong_to_staff staff_keeps_off_files_of_others strangers_stay_out_of_incoming \
    daemon_uses_private nobody_else_enters_private staff_runs_rotate \
    everybody_runs_report_as_themselves only_root_writes_tools; do
    check "$name" "$name"
done

mkdir -p "$logs"
cat >"$logs/ctrf.json" <<JSON
{"results":{"tool":{"name":"test.sh"},"summary":{"tests":$tests,"passed":$((tests - failed)),
"failed":$failed,"pending":0,"skipped":0,"other":0,"start":$start,"stop":$(date +%s%3N)},"tests":[$rows]}}
JSON
if [ "$failed" = 0 ]; then echo 1; else echo 0; fi >"$logs/reward.txt"
