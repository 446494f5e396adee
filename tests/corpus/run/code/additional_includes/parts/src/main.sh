find . -type f | sort
cat one.txt lib/l.txt
tail -c +1 pkg.zip | grep -a -o 'pkg/deep/p.txt' | head -n 1
grep -a -c 'packed words' pkg.zip
