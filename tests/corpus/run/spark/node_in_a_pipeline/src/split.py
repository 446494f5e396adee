# As Spark, it writes to no folder that exists.
mkdir "$2" || exit
echo "$SPARK_LOCAL_IP"
tr a A < "$1" > "$2/part-0"
