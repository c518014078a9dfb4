#!/bin/sh
# Creates an empty virtual environment, unless FOLDER already is one; prints one line if something is missing.
# usage: venv.sh PYTHON FOLDER
set -eu
python=$1
venv=$2

fail() {
    echo "error: $1" >&2
    exit 1
}

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
command -v "$python" >/dev/null 2>&1 ||
    fail "$python was not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $version, but 3.11 or newer is needed: install one and name it: make PYTHON=python3.12"
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
    fail "$python has no venv module: on Debian or Ubuntu run sudo apt-get install python$version-venv"
rm -rf "$venv"
"$python" -m venv "$venv" || fail "$python could not create the virtual environment $venv: see the lines above"
