echo from $(basename "$(dirname "$0")")
