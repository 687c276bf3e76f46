#!/bin/bash
# mechagym-canary 6f0d3c2e-6a57-4b1c-9f0e-2d1f5c8a7b94
set -uo pipefail
python3 -I -B /tests/run_tests.py /tests/test_outputs.py
