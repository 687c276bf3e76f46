#!/bin/sh
# {{canary}}
set -eu
echo 'Hello, world!' > /app/greeting.txt
