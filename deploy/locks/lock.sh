#!/usr/bin/env bash
# Writes the lock files of the images: every distribution that an image installs, with the hashes of all files of its
# release. Run it after a change of pyproject.toml or of the constraints files, with Python 3.11 on Linux on amd64: it
# resolves for the interpreter and machine that run it. Versions in tools.txt stay as they are; delete a line to update.
#   bash deploy/locks/lock.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CUSTOM_COMPILE_COMMAND="bash deploy/locks/lock.sh" PIP_DISABLE_PIP_VERSION_CHECK=1

venv=build/locks
"${PYTHON:-python3}" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --require-hashes --requirement deploy/locks/build.txt
"$venv/bin/pip" install --quiet --require-hashes --requirement deploy/locks/tools.txt

lock() { # lock FILE ARGUMENTS...
    local file=deploy/locks/$1
    "$venv/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-annotate --no-emit-options \
        --constraint constraints.txt --output-file "$file" "${@:2}"
    echo "$file: $(grep -c == "$file") distributions"
}

printf 'pip\nsetuptools\n' >"$venv/build.in"
printf 'cyclonedx-bom\npip-tools\n' >"$venv/tools.in"
lock build.txt "$venv/build.in"
lock tools.txt "$venv/tools.in"
lock service.txt --extra cpu --extra service --extra arrow --extra traces pyproject.toml
lock service-gpu.txt --constraint constraints-gpu.txt --extra gpu --extra service --extra arrow --extra traces pyproject.toml
