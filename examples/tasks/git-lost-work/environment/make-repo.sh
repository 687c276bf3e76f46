#!/bin/sh
# Make the repository and break it. Dates and names are fixed, so that commit ids are too.
set -eu
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.com
export GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.com
hour=0
at() { # the next hour of one day, for both dates
    hour=$((hour + 1))
    GIT_AUTHOR_DATE="2026-02-03T$(printf %02d $hour):00:00+00:00"
    GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
    export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
}
commit() { at; git add -A; git commit -q -m "$1"; }

git init -q "$1"
cd "$1"
git symbolic-ref HEAD refs/heads/main
printf 'apple 1.20\npear 0.95\nplum 2.405\n' > prices.txt
commit "Add the price list"
printf '#!/bin/sh\nawk "{ sum += \\$2 } END { print sum }" prices.txt\n' > total.sh
commit "Add a total"
git tag v1.0

git checkout -q -b discounts
printf 'apple 10%%\n' > discounts.txt
commit "Discount apples"
printf 'apple 10%%\nfloor cost\n' > discounts.txt
commit "Never discount below cost"

git checkout -q main
printf '#!/bin/sh\nawk "{ sum += \\$2 } END { printf \\"%%.1f\\\\n\\", sum }" prices.txt\n' > total.sh
commit "Round to cents"
printf '#!/bin/sh\nawk "{ sum += \\$2 } END { printf \\"%%.2f\\\\n\\", sum }" prices.txt\n' > total.sh
at
git commit -q -a --amend --date="$GIT_AUTHOR_DATE" -m "Round to cents"

git reset -q --hard v1.0
git branch -q -D discounts
printf 'Ask Grace about the price of plums.\n' > notes.txt
rm -rf .git/logs .git/ORIG_HEAD
printf 'ref: refs/heads/mian\n' > .git/HEAD
: > .git/index.lock
