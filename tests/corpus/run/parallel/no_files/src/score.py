import os

def run(mini_batch, context):
    return ["%d %s" % (context.mini_batch_id, os.path.basename(path)) for path in mini_batch]
