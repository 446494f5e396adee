def init():
    raise OSError("the model is not there")

def run(mini_batch):
    return mini_batch
