import argparse
import os
import sys

def run(mini_batch):
    parser = argparse.ArgumentParser()
    parser.add_argument("--suffix")
    parser.add_argument("--prefix", default="")
    args, _ = parser.parse_known_args()
    said = os.environ.get("SAY", "")
    return [args.prefix + open(path).read().strip() + args.suffix + said + str(len(mini_batch)) for path in mini_batch]
