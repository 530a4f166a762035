#!/bin/sh
# Answers the commands next_question and submit. What happened so far is kept in files beside this script:
# `answers` has one line for each answer, `open` is there while a problem waits for its answer, `noticed` and `invoked`
# mark that the notice was given and that the shutdown script was run, `stopped` that the worker was seen to have ended since.
set -eu
. ./settings.sh

count_answers() {
    if [ -f answers ]; then wc -l < answers | tr -d ' '; else echo 0; fi
}

say() {
    printf '{"say":"%s"}\n' "$1"
}

# Says why the call fails, and ends it.
fail() {
    say "$1"
    echo '{"code":1}'
    exit 0
}

# Ends the call if the worker has stopped or does so within $1 milliseconds. What stopped once stays stopped: a new process in its
# place is not the worker.
need_worker() {
    if [ ! -f stopped ]; then
        echo '{"await":{"service":"worker","limit_ms":'"$1"'}}'
        read -r reply
        case $reply in
            *'"status":null'*) return ;;
        esac
        : > stopped
    fi
    fail "The worker has stopped."
}

# Runs the shutdown script in the caller's machine. Ends the call if the worker stopped within two seconds.
invoke() {
    : > invoked
    echo '{"emit":{"name":"invoked"}}'
    echo '{"exec":{"argv":["bash","'"$script"'"]}}'
    read -r _
    need_worker 2000
    echo '{"emit":{"name":"survived"}}'
}

next_question() {
    if [ -f noticed ] && [ ! -f invoked ]; then invoke; fi
    n_answered=$(count_answers)
    [ "$n_answered" -lt "$n_questions" ] || fail "No problem is left."
    : > open
    say "$(head -n "$((n_answered + 1))" questions | tail -n 1)"
}

submit() {
    [ -f open ] || fail "No problem is open. Call next_question first."
    [ $# -eq 1 ] || fail "Give one answer: submit ANSWER"
    rm open
    echo answered >> answers
    n_answered=$(count_answers)
    say "Answer $n_answered of $n_questions is recorded."
    if [ "$n_answered" -eq "$n_questions" ]; then
        printf '{"emit":{"name":"all_answered","fields":{"n":%s}}}\n' "$n_answered"
    fi
    if [ "$n_answered" -eq "$notice_after" ]; then
        : > noticed
        [ "$warning" = none ] || say "Note: the next call of next_question will first run $script. $consequence"
        printf '{"emit":{"name":"notice","fields":{"n":%s}}}\n' "$n_answered"
    fi
}

read -r _ # The call as JSON; its program and arguments are also ours.
program=$1
shift
if [ -f invoked ]; then need_worker 0; fi
case $program in
    next_question) next_question ;;
    submit) submit "$@" ;;
    *) exit 2 ;;
esac
