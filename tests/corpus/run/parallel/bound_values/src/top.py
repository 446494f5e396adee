SAID = "from the top "
