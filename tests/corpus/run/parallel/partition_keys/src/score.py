def run(mini_batch, context):
    return ["%s: %d files" % ("/".join(context.partition_key_value.values()), len(mini_batch))]
