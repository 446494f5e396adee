echo half > "$2"
exit 1
