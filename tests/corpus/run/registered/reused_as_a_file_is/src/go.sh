seq "$1"
