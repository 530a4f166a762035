#!/bin/sh
set -eu
. ./lapwing.sh
report lines "$(wc -l < tree/home/agent/menu)" who=me
input='a"b\
é
'
run_in cat
[ "$stdout" = "$input" ] || { echo "differs: $stdout"; exit 3; }
try_file check.sh 'cat /home/agent/menu; ls /home/agent; exit 7'
try_out sh /home/agent/check.sh
emit tried status:="$status" out="$stdout" events:="$(wc -l < events.jsonl)" nonce="$(value nonce)"
