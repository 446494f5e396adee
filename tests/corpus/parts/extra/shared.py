NOTE = "beside the code"
