say() { echo "it says $1"; }
