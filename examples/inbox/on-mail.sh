#!/bin/sh
# Started by the daemon when bytes arrive: standard input and output are the TLS session.
read -r line
echo "$TLSHUB_REASON: $line" >>mailbox
echo "thank you for $line"
