def run(mini_batch):
    return [10 * int(open(path).read()) for path in mini_batch]
