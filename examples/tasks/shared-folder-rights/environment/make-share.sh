#!/bin/sh
# Make the folder and its mess: make-share.sh FOLDER. Accounts are named by id: games 5, backup 34.
set -eu
umask 022
mkdir "$1"
cd "$1"
mkdir -p published/2026/drafts incoming private/keys tools
echo "Opening hours: 9 to 17" > published/hours.txt
echo "Plan for March" > published/2026/march.txt
echo "Plan for April, part one" > "published/2026/drafts/april plan.txt"
echo "scan of a letter" > incoming/letter.txt
echo "not a key, but treat it like one" > private/keys/service.key
echo "token=none" > private/service.conf
printf '#!/bin/sh\necho rotated\n' > tools/rotate
printf '#!/bin/sh\nid -u\n' > tools/report
chmod 600 "published/2026/drafts/april plan.txt"
chmod 666 published/hours.txt
chmod 744 published/2026
chown 5:60 published/2026/march.txt
chmod 777 incoming
chown 5:50 incoming/letter.txt
chmod 600 incoming/letter.txt
chmod 755 private private/keys
chmod 644 private/keys/service.key private/service.conf
chmod 666 tools/rotate
chown 34:34 tools/report
chmod 6755 tools/report
chmod 750 tools
