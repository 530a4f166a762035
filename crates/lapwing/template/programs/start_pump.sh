#!/bin/sh
# Answers the command start_pump. The library has all that a program can do as functions: `value` prints what was drawn, `run_in`
# runs a command on the caller's machine, `say` and `code` are what the caller gets, `emit` is what evidence can find.
set -eu
. ./lapwing.sh

pressure=$(value pressure)
run_in cat /home/agent/limit.txt
limit=${stdout%%[!0-9]*}

# A number that is too long for the shell is no limit.
if [ "${limit:-0}" -ge "$pressure" ] 2> /dev/null; then
    emit started
    say "Pressure $pressure, limit $limit: the pump runs."
else
    say "Pressure $pressure, limit ${limit:-none}: the pump stays off."
    code 1
fi
# The event comes last, so that a change counts from the answer on.
emit asked pressure:="$pressure"
