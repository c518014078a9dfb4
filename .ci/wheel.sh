#!/usr/bin/env bash
# Installs a wheel into new virtual environments outside the clone and runs smoke.py there: with the Python of PYTHON
# every extra that the demo needs, with other Pythons the base install and the service.
# usage: wheel.sh WHEEL [PYTHON...]
#   PYTHON... are further interpreters; default: those of 3.12 and 3.13 that are found
# SKIP_TRAINING=1 leaves out the demo, which installs torch.
set -euo pipefail
wheel=$(realpath "$1")
shift
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
pyenv=${PYENV_ROOT:-$HOME/.pyenv}
export HOME=$away/home # an empty one: nothing of the user's helps
mkdir "$HOME"

others() { # the interpreters of other versions that run, one a line
    local version python
    for version in 3.12 3.13; do
        for python in "python$version" "$pyenv/versions/$version."*/bin/python; do
            if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
                echo "$python"
                break
            fi
        done
    done
}

install() { # install VENV WHAT...
    "$away/$1/bin/python" -m pip --disable-pip-version-check install --quiet --constraint "$clone/constraints.txt" "${@:2}"
}

smoke() { # smoke VENV ARGUMENTS...
    "$away/$1/bin/python" -I "$clone/.ci/smoke.py" "${@:2}"
}

base_and_service() { # base_and_service VENV PYTHON
    sh "$clone/.ci/venv.sh" "$2" "$away/$1"
    "$away/$1/bin/python" --version
    install "$1" pip
    install "$1" "$wheel"
    smoke "$1" base
    install "$1" "${wheel}[cpu,service]"
    smoke "$1" service --models "$clone/models" --rows "$clone/examples/rows.json"
}

if [ $# -eq 0 ]; then
    mapfile -t found < <(others)
    set -- "${found[@]}"
fi
base_and_service main "${PYTHON:-python3}"
if [ -z "${SKIP_TRAINING:-}" ]; then
    install main "${wheel}[cpu,service,training,scoring]"
    smoke main demo --readme "$clone/README.md"
fi
for python in "$@"; do
    base_and_service "other-$(basename "$(dirname "$(dirname "$python")")")" "$python"
done
