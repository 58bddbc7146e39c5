#!/bin/sh
# Makes demo.wav, the recording of `ambo serve --demo`. Needs espeak-ng and sox:
#   apt-get install espeak-ng sox
set -eu
cd "$(dirname "$0")"
text='Welcome to Ambo. These words are spoken in one place, and heard wherever you are.
Whoever listens joins with a few simple words. Now it is your turn to speak.'
spoken=$(mktemp --suffix=.wav)
trap 'rm -f "$spoken"' EXIT
espeak-ng -v en-gb -s 165 -p 42 -g 3 -w "$spoken" "$text"
# 12 kHz mono keeps speech clear in 24 kB a second; -D: the same bytes on every machine.
sox -D "$spoken" -r 12000 -c 1 -b 16 demo.wav norm -3 fade t 0.02 -0 0.05 pad 0.2 0.6
