import os
import shutil
import sys

import helper
import top

def run(mini_batch):
    for path in mini_batch:
        shutil.copy(path, sys.argv[sys.argv.index("--to") + 1])
    to = os.path.join(sys.argv[2], "arguments%d" % len(mini_batch))
    with open(to, "w") as file:
        file.write(" ".join(sys.argv[3:]) + helper.SAID + top.SAID + os.path.basename(sys.argv[0]))
    return mini_batch
