seq -s- "$1"
