# Logs a metric to the run of the step, as an MLflow client does: log_metric.sh NAME VALUE [STEP]
server=${MLFLOW_TRACKING_URI#http://}
server=${server%%/*}
body="{\"run_id\": \"$MLFLOW_RUN_ID\", \"key\": \"$1\", \"value\": $2, \"timestamp\": $(date +%s%3N), \"step\": ${3:-0}}"
exec 3<>"/dev/tcp/${server%:*}/${server#*:}"
printf 'POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n' "$server" "$MLFLOW_TRACKING_TOKEN" >&3
printf 'Content-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#body}" "$body" >&3
read -r _ status _ <&3
cat <&3 >/dev/null
[ "$status" = 200 ]
