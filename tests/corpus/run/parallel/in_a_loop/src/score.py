import sys

def run(mini_batch):
    return [int(open(path).read()) * int(sys.argv[2]) for path in mini_batch]
