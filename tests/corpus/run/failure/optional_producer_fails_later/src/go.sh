echo text
