echo me
