import os

def run(mini_batch):
    name = os.path.basename(mini_batch[0])[0]
    tries = len([file for file in os.listdir("outputs") if file.startswith(name)])
    open("outputs/%s%d" % (name, tries), "w").close()
    if name == "b" and tries < 2:
        raise ValueError("not yet")
    if name == "d" and tries < 1:
        os._exit(7)
    return ["%s after %d" % (name, tries)]
