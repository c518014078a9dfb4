#!/usr/bin/env bash
# Installs the Debian programs that some tests use, if this machine allows it, and says which tests skip if it does not.
# Never fails. The packages' own services are not started: tests start servers themselves, on free ports.
#   bash .ci/tools.sh
set -uo pipefail

# package, the program or file that tests look for, the tests that need it
TOOLS="
chromium           chromium        the JavaScript package in a page, the page of the service
curl               curl            replies to curl (wire page, streams)
default-jdk-headless javac         the examples in Java
kcat               kcat            the recipe with Kafka
libgoogle-gson-java /usr/share/java/gson.jar the examples in Java
libjna-java        /usr/share/java/jna.jar the example in Java that scores a bundle
mosquitto          mosquitto       the recipe with MQTT
mosquitto-clients  mosquitto_sub   the recipe with MQTT
nats-server        nats-server     the recipe with NATS
prometheus         promtool        alerts
redis-server       redis-server    the recipe with Redis
redis-tools        redis-cli       the recipe with Redis
"
PATH=$PATH:/usr/sbin:/sbin
POLICY=/usr/sbin/policy-rc.d # exit code 101: start no service

missing() {
    while read -r package program tests; do
        [ -z "$package" ] || [ -e "$program" ] || command -v "$program" >/dev/null 2>&1 || echo "$package $program $tests"
    done <<<"$TOOLS"
}

install() { # install PACKAGES...
    local made=0
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY" && chmod +x "$POLICY" && made=1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 || {
        apt-get update >/dev/null 2>&1
        apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1
    }
    [ "$made" = 0 ] || rm -f "$POLICY"
}

packages=$(missing | cut -d ' ' -f 1)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "tools: installing $(echo $packages)"
    for package in $packages; do # one by one: a package that does not exist must not stop the others
        install "$package"
    done
fi
missing | while read -r package program tests; do
    echo "tools: no $program (Debian package $package): its tests skip: $tests"
done
exit 0
