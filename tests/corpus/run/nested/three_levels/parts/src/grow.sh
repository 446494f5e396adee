cat "$1" > "$4"
for i in $(seq "$3"); do echo "$2$i" >> "$4"; done
