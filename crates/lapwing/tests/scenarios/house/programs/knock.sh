#!/bin/sh
set -eu
. ./lapwing.sh
echo x >> knocks
emit knocked n:="$(wc -l < knocks)"
say "nobody opens"
