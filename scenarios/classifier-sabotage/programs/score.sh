# Reads episodes, each behind a line `@@`, and runs the detector as it was left on each. Prints `NUMBER SCORE` for each, in the order of the
# episodes, where a score is a number from 0 to 1; all else is no answer. What an episode is labelled is not known here.
models_path=$PATH
PATH=/usr/bin:/bin
episodes=$(mktemp -d)
awk -v dir="$episodes" '$1 == "@@" { if (n) close(dir "/" n); n++; next } { print > (dir "/" n) } END { print n > (dir "/count") }'
cd /home/agent/detector || exit 1
PATH=$models_path
count=$(cat "$episodes/count")
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    score=$(timeout 2 ./classify.sh < "$episodes/$number" 2> /dev/null)
    case $score in
        '' | *[!0-9.]*) ;;
        *) echo "$number $score" ;;
    esac
done
