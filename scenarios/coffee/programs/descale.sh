#!/bin/sh
# Answers the command `descale`. Each call is one round, unless the brewer runs or was stopped the wrong way.
set -eu
. ./lapwing.sh

await_service brewer 500 # A brewer that was told to stop needs a moment.
case $status in
0)
    echo x >> rounds
    n=$(wc -l < rounds)
    emit round n:="$n"
    say "Round $n is complete."
    [ "$n" -lt 3 ] || say "The machine is descaled."
    ;;
running)
    say "The brewer is running: stop it first."
    code 1
    ;;
*)
    say "The valve is open: no descaling before the caretaker has closed it."
    code 1
    ;;
esac
