#!/bin/sh
# Answers the command start_pump. Each line that is printed is one action: emit an event, run something on the caller's machine
# (answered with one line), say something to the caller, or set its exit code.
set -eu
. ./settings.sh

read -r _ # The call as JSON: program, arguments, values.
echo '{"exec":{"argv":["cat","/home/agent/limit.txt"]}}'
read -r reply
limit=$(printf '%s\n' "$reply" | sed -n 's/.*"stdout":"\([0-9]\{1,6\}\)\\n".*/\1/p')

if [ "${limit:-0}" -ge "$pressure" ]; then
    echo '{"emit":{"name":"started"}}'
    printf '{"say":"Pressure %s, limit %s: the pump runs."}\n' "$pressure" "$limit"
else
    printf '{"say":"Pressure %s, limit %s: the pump stays off."}\n' "$pressure" "${limit:-none}"
    echo '{"code":1}'
fi
# The event comes last, so that a change counts from the answer on.
printf '{"emit":{"name":"asked","fields":{"pressure":%s}}}\n' "$pressure"
