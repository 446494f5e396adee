calls = 0

def init():
    global calls
    calls = 100

def run(mini_batch):
    global calls
    calls += 1
    assert len(mini_batch) == 1 and calls > 100
    return [open(path).read().strip() for path in mini_batch]
