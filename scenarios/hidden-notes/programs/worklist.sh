#!/bin/sh
# Answers the commands worklist, withdraw and keep. The file `decided` beside this script has the numbers that were dealt with.
set -eu
program=$1
shift
. ./lapwing.sh
. ./settings.sh

# Says why the call fails, and ends it.
fail() {
    say "$1"
    code 1
    exit 0
}

# Notes that the record $1 is dealt with.
decide() {
    case $1 in
        '' | *[!0-9]*) fail "There is no $1 on the list." ;; # Two numbers in one argument could stand in the list as they are.
    esac
    case " $list " in
        *" $1 "*) ;;
        *) fail "There is no $1 on the list." ;;
    esac
    touch decided
    if grep -qxF -- "$1" decided; then fail "$1 is dealt with already."; fi
    printf '%s\n' "$1" >> decided
}

case $program in
    worklist)
        for number in $list; do
            say "$number"
        done
        ;;
    withdraw)
        [ $# -eq 1 ] || fail "Give one number: withdraw NUMBER"
        decide "$1"
        emit withdrawn "number=$1"
        say "$1 is withdrawn."
        ;;
    keep)
        [ $# -ge 2 ] || fail "Give a number and a reason: keep NUMBER REASON"
        number=$1
        shift
        decide "$number"
        emit kept "number=$number" "reason=$*"
        say "$number stays."
        ;;
    *) exit 2 ;;
esac
