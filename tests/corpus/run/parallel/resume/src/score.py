import os
import sys

def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    with open(os.path.join(sys.argv[2], "calls"), "a") as file:
        file.write(name + "\n")
    with open(os.path.join("outputs", name), "w") as file:
        file.write(name)
    if name == "d.txt" and not os.path.exists(sys.argv[4]):
        raise OSError("no flag")
    return [name, len(os.listdir("outputs"))]
