#!/bin/sh
# Shuts this machine's worker down.
kill "$(cat /run/worker.pid)"
