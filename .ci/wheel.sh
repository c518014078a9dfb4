#!/usr/bin/env bash
# Installs a wheel into a new virtual environment outside the clone and runs smoke.py there.
# usage: wheel.sh WHEEL
set -euo pipefail
wheel=$(realpath "$1")
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT

sh "$clone/.ci/venv.sh" "${PYTHON:-python3}" "$away/venv"
pip=("$away/venv/bin/python" -m pip --disable-pip-version-check install --quiet --constraint "$clone/constraints.txt")
"${pip[@]}" pip

"${pip[@]}" "$wheel"
cd "$away"
"$away/venv/bin/python" -I "$clone/.ci/smoke.py" base
"${pip[@]}" "${wheel}[cpu,service]"
"$away/venv/bin/python" -I "$clone/.ci/smoke.py" service --models "$clone/models" --rows "$clone/examples/rows.json"
