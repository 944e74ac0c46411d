#!/usr/bin/env bash
# Clients that we did not write, against a real server: the Python and Node SDKs, Chromium with our page, schemathesis, an
# identity provider, and programs for calendars and mail.
#
#   tests/interop/run.sh [python|node|rest|calendar|oidc ...]     all suites if none is named
#
# Builds nothing: CONSILIUM_BIN names the server (default target/debug/consilium), with the web pages built before it.
# Each suite gets a server of its own, on free ports, with an empty data directory; the server's log stays in
# tests/artifacts/interop. Arguments for pytest can be given in PYTEST_ADDOPTS, for schemathesis in REST_OPTIONS. Fails if
# any test fails or is skipped, if the server does not survive its suite or shut down in order, or if a token got into its
# log.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=$root/tests/.venv
rest_venv=$root/tests/.venv-rest
calendar_venv=$root/tests/.venv-calendar
artifacts=$root/tests/artifacts/interop

INTEROP_SERVER=$(realpath "${CONSILIUM_BIN:-$root/target/debug/consilium}")
# The server reads CONSILIUM_*; this one is not for it.
export -n CONSILIUM_BIN
# Random for each run: a secret in a log can then be looked for.
CONSILIUM_API_KEY=interop-$RANDOM
CONSILIUM_API_SECRET=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
export INTEROP_SERVER CONSILIUM_API_KEY CONSILIUM_API_SECRET
# Receivers of webhooks are on this host.
export CONSILIUM_WEBHOOKS__PRIVATE_ADDRESSES=true

START_SECONDS=30
STOP_SECONDS=15
REST_SECONDS=120
# Each may make 1,200 requests per minute: enough for 200 per second.
REST_KEYS=10

say() { printf 'interop: %s\n' "$*" >&2; }

prepare_python() { # SUITE VENV
  local wanted=$here/$1/requirements.txt installed=$2/requirements.txt
  cmp -s "$wanted" "$installed" && return
  say "installing what the suite $1 needs of Python"
  [[ -x $2/bin/python ]] || python3 -m venv "$2"
  "$2/bin/python" -m pip install --quiet --requirement "$wanted"
  cp "$wanted" "$installed"
}

prepare_node() { # FOLDER
  local wanted=$1/package-lock.json installed=$1/node_modules/.installed-lock.json
  cmp -s "$wanted" "$installed" && return
  say "installing what $(basename "$1") needs of Node"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
  cp "$wanted" "$installed"
}

# Two TCP ports, a UDP port and another TCP port that nobody uses now.
free_ports() {
  python3 - <<'PYTHON'
import socket

kinds = [socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM]
sockets = [socket.socket(socket.AF_INET, kind) for kind in kinds]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

answers() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$1" 2>/dev/null; }

server_pid=
data=
cleanup() {
  if [[ -n $server_pid ]]; then kill -KILL "$server_pid" 2>/dev/null || true; fi
  if [[ -n $data ]]; then rm -rf "$data"; fi
}
trap cleanup EXIT

# What the server and the provider of the suite are told of each other.
identity_provider() { # PORT-OF-SERVER PORT-OF-PROVIDER
  local key=CONSILIUM_IDENTITY__PROVIDERS__REAL__
  export CONSILIUM_HTTP__PUBLIC_URL=http://127.0.0.1:$1 "${key}NAME=Interop" "${key}ISSUER=http://127.0.0.1:$2" \
    "${key}CLIENT_ID=consilium" "${key}CLIENT_SECRET=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" \
    "${key}ROLES__COORDINATOR=[\"mdt\"]"
}

start_server() { # SUITE
  local http ops udp provider deadline environment
  read -r http ops udp provider < <(free_ports)
  [[ $1 != oidc ]] || identity_provider "$http" "$provider"
  data=$(mktemp -d)
  log=$artifacts/$1-server.log
  export INTEROP_HTTP=http://127.0.0.1:$http INTEROP_OPS=http://127.0.0.1:$ops INTEROP_DATA=$data
  read -ra environment < <(suite_environment "$1") || true
  env "${environment[@]}" "$INTEROP_SERVER" serve --data-dir "$data" --http-listen "127.0.0.1:$http" --ops-listen "127.0.0.1:$ops" \
    --media-bind 127.0.0.1 --udp-port "$udp" --workers 1 --open-rooms "$open_rooms" \
    --log "${INTEROP_LOG:-info}" >"$log" 2>&1 &
  server_pid=$!
  deadline=$((SECONDS + START_SECONDS))
  until answers "$INTEROP_OPS/readyz"; do
    if ! kill -0 "$server_pid" 2>/dev/null || ((SECONDS >= deadline)); then
      say "the server did not start; its log ends:"
      tail -n 20 "$log" >&2
      return 1
    fi
    sleep 0.1
  done
}

stop_server() { # SUITE; fails if the server was not well
  local status=0 deadline
  if ! kill -TERM "$server_pid" 2>/dev/null; then
    say "the server did not survive the $1 suite"
  fi
  deadline=$((SECONDS + STOP_SECONDS))
  while kill -0 "$server_pid" 2>/dev/null; do
    if ((SECONDS >= deadline)); then
      say "the server did not shut down within $STOP_SECONDS s"
      kill -KILL "$server_pid"
      break
    fi
    sleep 0.1
  done
  wait "$server_pid" || status=$?
  server_pid=
  rm -rf "$data"
  data=
  if ((status != 0)); then
    say "the server ended with $status; its log ends:"
    tail -n 20 "$log" >&2
    return 1
  fi
  if grep -q 'panicked at' "$log"; then
    say "the server panicked:"
    grep -A 3 'panicked at' "$log" | head -n 20 >&2
    return 1
  fi
  # A JSON Web Token starts with the base64 of {"alg or {"typ.
  if grep -qE 'eyJ(hbGci|0eXAi)' "$log" || grep -qF "$CONSILIUM_API_SECRET" "$log" ||
    grep -qF "${CONSILIUM_IDENTITY__PROVIDERS__REAL__CLIENT_SECRET-$CONSILIUM_API_SECRET}" "$log"; then
    say "a token or the secret is in the server's log: $log"
    return 1
  fi
}

suite_python() {
  (cd "$here/python" && PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest)
}

suite_node() { run_node node; }

suite_oidc() { run_node oidc; }

run_node() { # FOLDER
  # The second reporter is for this script: the runner itself takes a skipped test for a success.
  local summary=$artifacts/$1-summary.tap status=0
  (cd "$here" && node --test --test-concurrency=1 \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$summary" "$1"/*.test.mjs) || status=$?
  if ! grep -q '^# skipped 0$' "$summary" || ! grep -q '^# todo 0$' "$summary" || grep -q '^# tests 0$' "$summary"; then
    say 'tests were left out; this counts as a failure'
    status=1
  fi
  return "$status"
}

rest_api_keys() {
  for ((number = 0; number < REST_KEYS; number++)); do
    "$INTEROP_SERVER" api-key create --data-dir "$data" --name "schemathesis $number" \
      --scope meetings:read --scope meetings:write --scope keys:admin --scope users:admin --scope webhooks:admin
  done
}

# The description against the server: no 5xx, and no answer that is not described.
suite_rest() {
  local status=0
  REST_API_KEYS=$(rest_api_keys)
  export REST_API_KEYS REST_ANSWERS=$artifacts/rest-answers.json
  rm -f "$REST_ANSWERS"
  # shellcheck disable=SC2086 # several options
  (cd "$here/rest" && SCHEMATHESIS_HOOKS=hooks PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 \
    timeout "$REST_SECONDS" "$rest_venv/bin/schemathesis" --no-color run ${REST_OPTIONS-} \
    "$INTEROP_HTTP/api/v1/openapi.json") || status=$?
  ((status != 124)) || say "schemathesis did not end within $REST_SECONDS s"
  "$rest_venv/bin/python" "$here/rest/reached.py" "$INTEROP_HTTP/api/v1/openapi.json" "$REST_ANSWERS" || status=1
  return "$status"
}

# What the server is configured with beside what every suite has, one word for each variable.
suite_environment() { # SUITE
  case $1 in
    # The mail server comes with the tests.
    calendar)
      echo CONSILIUM_HTTP__PUBLIC_URL=https://meet.example.org CONSILIUM_MAIL__FROM=mdt@hospital.example \
        CONSILIUM_MAIL__HOST=127.0.0.1 CONSILIUM_MAIL__PORT="$INTEROP_MAIL_PORT" CONSILIUM_MAIL__TLS=none
      ;;
    # Nothing is taken, so that there are dead letters to ask about.
    rest)
      echo CONSILIUM_HTTP__PUBLIC_URL=https://meet.example.org CONSILIUM_MAIL__FROM=mdt@hospital.example \
        CONSILIUM_MAIL__HOST=127.0.0.1 CONSILIUM_MAIL__PORT=9 CONSILIUM_MAIL__TLS=none \
        CONSILIUM_MAIL__ATTEMPTS_MAX=1 CONSILIUM_WEBHOOKS__ATTEMPTS_MAX=1
      ;;
  esac
}

suite_calendar() {
  INTEROP_API_KEY=$("$INTEROP_SERVER" api-key create --data-dir "$data" --name calendars --scope meetings:write)
  export INTEROP_API_KEY
  (cd "$here/calendar" && PYTHONDONTWRITEBYTECODE=1 "$calendar_venv/bin/python" -m pytest)
}

[[ -x $INTEROP_SERVER ]] || { say "there is no server at $INTEROP_SERVER"; exit 2; }
mkdir -p "$artifacts"
suites=("$@")
((${#suites[@]})) || suites=(python node rest calendar oidc)

prepare() { # SUITE
  case $1 in
    # It drives the browser through Node.
    python) prepare_node "$here" && prepare_python python "$venv" ;;
    node) prepare_node "$here" ;;
    oidc) prepare_node "$here/oidc" ;;
    rest) prepare_python rest "$rest_venv" ;;
    calendar)
      prepare_python calendar "$calendar_venv"
      read -r INTEROP_MAIL_PORT _ < <(free_ports)
      export INTEROP_MAIL_PORT
      ;;
    *) say "there is no suite $1"; exit 2 ;;
  esac
}

failed=()
for suite in "${suites[@]}"; do
  prepare "$suite"
  # A guest's way in is one of the operations.
  open_rooms=false
  [[ $suite != rest ]] || open_rooms=true
  start_server "$suite"
  "suite_$suite" || failed+=("$suite")
  stop_server "$suite" || failed+=("$suite's server")
done
if ((${#failed[@]})); then
  say "failed: ${failed[*]}"
  exit 1
fi
