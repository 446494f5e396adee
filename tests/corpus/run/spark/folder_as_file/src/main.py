mkdir "$1"; echo x > "$1/part-0"; echo y > "$1/part-1"
