#!/bin/sh
# Makes .venv here, with llmevo and its dependencies in the versions of constraints.txt. Again: brings it up to date.
#
#   ./setup.sh                  the core: no torch, no SDK
#   ./setup.sh dev              what the tests and the checks need
#   ./setup.sh dev weights ...  any extras of pyproject.toml
#
# Needs Python 3.11 or newer with pip; PYTHON=/path/to/python chooses one.
set -eu
cd "$(dirname "$0")"

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ ! -x .venv/bin/python ] || ! new_enough .venv/bin/python; then
    found=
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if new_enough "$python"; then
            found=$python
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "setup.sh: needs Python 3.11 or newer; ${PYTHON:-python3} is not. Name one: PYTHON=/path/to/python ./setup.sh" >&2
        exit 1
    fi
    # Some systems have pip, but not the module that puts it into a new environment.
    "$found" -m venv --clear .venv >/dev/null 2>&1 || {
        "$found" -m venv --clear --without-pip .venv
        "$found" -m pip --python .venv/bin/python install --quiet pip
    }
fi

extras=$(echo "$*" | tr ' ' ',')
echo "setup.sh: installing llmevo${extras:+[$extras]} into .venv" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}"
