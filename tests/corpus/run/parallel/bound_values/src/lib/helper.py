SAID = " helped "
