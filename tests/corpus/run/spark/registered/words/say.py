. helper.py; say "$@"
