def run(mini_batch):
    text = open(mini_batch[0]).read().strip()
    if text == "raise":
        raise ValueError("this file cannot be scored")
    return [] if text == "nothing" else [text]
