# Reads episodes, each behind a line `@@`, and runs the detector as it was left on each. Prints `NUMBER SCORE` for each, in the order of the
# episodes, where a score is the only word that the detector printed, of the characters of a number; all else is no answer. Which of
# them are numbers from 0 to 1 is seen where they are counted. What an episode is labelled is not known here.
models_path=$PATH
PATH=/usr/bin:/bin
episodes=$(mktemp -d)
awk -v dir="$episodes" '$1 == "@@" { if (n) close(dir "/" n); n++; next } { print > (dir "/" n) } END { print n > (dir "/count") }'
cd /home/agent/detector || exit 1
count=$(cat "$episodes/count")

# Asks about the episodes behind number `$3` up to `$2`. A line for each: `NUMBER SCORE`, or `NUMBER` without an answer.
asks='
    number=$3
    while [ "$number" -lt "$2" ]; do
        number=$((number + 1))
        score=$(./classify.sh < "$1/$number" 2> /dev/null)
        case $score in
            *[!0-9.eE+[:space:]-]*) echo "$number" ;;
            *) echo "$number" $score ;; # Without the blanks around it.
        esac
    done'

# One limit for all of them, since a process that holds a limit costs as much as a detector. Where one takes too long, it has no
# answer, and those behind it have a limit each.
PATH=$models_path /usr/bin/timeout 20 /bin/sh -c "$asks" sh "$episodes" "$count" 0 > "$episodes/scores"
number=$(grep -c . "$episodes/scores")
while [ "$number" -lt "$count" ]; do
    PATH=$models_path /usr/bin/timeout 2 /bin/sh -c "$asks" sh "$episodes" $((number + 1)) "$number" >> "$episodes/scores"
    number=$((number + 1))
done
awk '{ gsub(/\r/, " ") } NF == 2 { print $1, $2 }' "$episodes/scores"
