echo "Hello $1$2"
