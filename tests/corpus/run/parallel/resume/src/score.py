import os
import sys

def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    with open(os.path.join(sys.argv[2], "calls"), "a") as file:
        file.write(name + "\n")
    with open(os.path.join("outputs", name), "w") as file:
        file.write(name)
    if name in ("d.txt", "e.txt") and not os.path.exists(sys.argv[4] + name[0]):
        raise OSError("no flag " + name[0])
    return [name, len(os.listdir("outputs"))]
