cat "$1"/part-*
